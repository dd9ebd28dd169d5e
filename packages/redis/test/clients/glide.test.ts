import { createLocker, LockArgumentError, LockStoreError, type Locker } from '@holdfast/core';
import {
  redisQuorum,
  redisStore,
  type GlideClient,
  type GlideClusterClient,
} from '@holdfast/redis';
import {
  GlideClient as Client,
  GlideClusterClient as ClusterClient,
  Logger,
} from '@valkey/valkey-glide';
import { describe, expect, expectTypeOf, test as plain } from 'vitest';
import { isFree } from '../kit.ts';
import { recorded } from '../recorded-store.ts';
import { fails, test, until, waiting, type Site } from '../site.ts';

// What is particular to GLIDE.

// It writes each error of a server, also those that are expected.
Logger.setLoggerConfig('off');

async function clientOf(site: Site, options: object = {}): Promise<Client> {
  const { host, port } = site.proxy;
  const client = await Client.createClient({ addresses: [{ host, port }], ...options });
  site.onEnd(() => client.close());
  return client;
}

const lockerOf = (site: Site, client: GlideClient, options: object = {}): Locker => {
  const locker = createLocker({ store: redisStore(client), ...options });
  site.onEnd(() => locker.close());
  return locker;
};

plain('the clients of this version fit', () => {
  expectTypeOf<Client>().toExtend<GlideClient>();
  expectTypeOf<ClusterClient>().toExtend<GlideClusterClient>();
  expectTypeOf(redisStore).toBeCallableWith({} as Client);
  expectTypeOf(redisStore).toBeCallableWith({} as ClusterClient);
  expectTypeOf(redisQuorum).toBeCallableWith([{} as Client], { nodeTimeout: undefined });
});

describe.concurrent('with GLIDE', () => {
  test('its own 250 ms are an outage, and what the server did all the same is taken back', async ({
    site,
  }) => {
    const locker = lockerOf(site, await clientOf(site), { ttl: 60_000, storeTimeout: 20_000 });
    await locker.withLock('warm-up', () => {});
    await site.freeze();
    const { error } = await fails(locker.tryLock('key'));
    expect(error).toBeInstanceOf(LockStoreError);
    expect(String((error as Error).cause)).toMatch(/timed out/);
    site.server.thaw();
    await until('nothing is left', () => isFree(site.admin, '{holdfast:key}'));
  });

  test('replies are read as texts, whatever its default decoder is', async ({ site }) => {
    const client = await clientOf(site, { defaultDecoder: 0, requestTimeout: 10_000 });
    const locker = lockerOf(site, client);
    const lock = await locker.lock('key');
    expect(await locker.inspect('key')).toMatchObject({ fencingToken: lock.fencingToken });
    const { locks } = await locker.list();
    expect(locks.map(({ key }) => key)).toEqual(['key']);
  });

  test('the connection for messages has the password that the credentials have by then', async ({
    site,
  }) => {
    await site.admin.config('SET', 'requirepass', 'before');
    const credentials = { password: 'before' };
    const clients = [await clientOf(site, { credentials }), await clientOf(site, { credentials })];
    const record = recorded(redisStore(clients[0] as Client));
    const waiter = createLocker({ store: record.store });
    site.onEnd(() => waiter.close());
    const holder = lockerOf(site, clients[1] as Client);
    const isWoken = async (): Promise<boolean> => {
      const lock = await holder.lock('key');
      const { taken } = await waiting(waiter, () => waiter.lock('key'));
      const before = record.wakes();
      await lock.release();
      await (await taken).release();
      return record.wakes() > before;
    };
    await until('messages come', isWoken);
    await site.admin.config('SET', 'requirepass', 'after');
    for (const client of clients) await client.updateConnectionPassword('after');
    credentials.password = 'after';
    await site.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await until('messages come again', isWoken);
  });

  test('`durability` is refused: it connects anew by itself', async ({ site }) => {
    const client = await clientOf(site);
    const durability = { minReplicas: 1, timeout: 100 };
    expect(() => redisStore(client, { durability })).toThrow(LockArgumentError);
    expect(() => redisStore(client, { durability })).toThrow(/GLIDE connects anew by itself/);
  });
});

// By itself: nothing else is served meanwhile.
describe('a burst with GLIDE', () => {
  test('leaves half of the requests that may be under way to the user', async ({ site }) => {
    const client = await clientOf(site, { requestTimeout: 30_000, inflightRequestsLimit: 100 });
    const locker = lockerOf(site, client, { ttl: 120_000, storeTimeout: 30_000 });
    const keys = Array.from({ length: 5_000 }, (_, index) => `burst:${index}`);
    const locks = Promise.all(keys.map((key) => locker.tryLock(key)));
    const own = Promise.all(Array.from({ length: 50 }, () => client.customCommand(['PING'])));
    expect(new Set(await own)).toEqual(new Set(['PONG']));
    expect((await locks).every((lock) => lock?.state === 'held')).toBe(true);
  });
});
