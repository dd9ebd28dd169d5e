import { createLocker, LockArgumentError, type Locker } from '@holdfast/core';
import {
  redisQuorum,
  redisStore,
  type NodeRedisClient,
  type NodeRedisCluster,
  type NodeRedisSentinel,
} from '@holdfast/redis';
import { createClient, createClientPool, createCluster, createSentinel } from 'redis';
import { describe, expect, expectTypeOf, test as plain } from 'vitest';
import { fails, test, until, waiting, type Site } from '../site.ts';

// What is particular to node-redis.

type Client = ReturnType<typeof createClient>;

// oxlint-disable-next-line typescript/explicit-function-return-type
async function clientOf(site: Site, options: { readonly RESP?: 2 | 3 } = {}) {
  const { host, port } = site.proxy;
  const client = createClient({ socket: { host, port }, ...options });
  client.on('error', () => {});
  await client.connect();
  site.onEnd(() => {
    if (client.isOpen) client.destroy();
  });
  return client;
}

const lockerOf = (site: Site, client: NodeRedisClient): Locker => {
  const locker = createLocker({ store: redisStore(client) });
  site.onEnd(() => locker.close());
  return locker;
};

const listeners = async (site: Site): Promise<readonly string[]> => {
  const list = (await site.admin.client('LIST', 'TYPE', 'PUBSUB')) as string;
  return [...list.matchAll(/^id=(\d+)/gm)].map(([, id]) => id as string);
};

plain('the clients of this version fit', () => {
  expectTypeOf<Client>().toExtend<NodeRedisClient>();
  expectTypeOf<ReturnType<typeof createCluster>>().toExtend<NodeRedisCluster>();
  expectTypeOf<ReturnType<typeof createSentinel>>().toExtend<NodeRedisSentinel>();
  expectTypeOf(redisStore).toBeCallableWith({} as Client);
  expectTypeOf(redisStore).toBeCallableWith({} as ReturnType<typeof createCluster>);
  expectTypeOf(redisStore).toBeCallableWith({} as ReturnType<typeof createSentinel>);
  expectTypeOf(redisQuorum).toBeCallableWith([{} as Client], { nodeTimeout: undefined });
});

describe('a client that cannot be used', () => {
  const NAMED = /ioredis or iovalkey .*node-redis 5 or 6 .*GLIDE 2/;

  plain('is told of where the store is made: a pool, which keeps no order', () => {
    const pool = createClientPool();
    expect(() => redisStore(pool as never)).toThrow(LockArgumentError);
    expect(() => redisStore(pool as never)).toThrow(NAMED);
  });

  plain('is told of where the quorum is made: a cluster', () => {
    const cluster = createCluster({ rootNodes: [] });
    expect(() => redisQuorum([cluster as never])).toThrow(NAMED);
  });

  plain.each([
    ['a client', () => createClient()],
    ['a cluster', () => createCluster({ rootNodes: [{ url: 'redis://127.0.0.1:1' }] })],
    [
      'a Sentinel',
      () => createSentinel({ name: 'one', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] }),
    ],
  ])('is told of at once: %s whose `connect()` has not been called', async (_, make) => {
    const locker = createLocker({ store: redisStore(make()) });
    for (const attempt of [() => locker.tryLock('key'), () => locker.lock('key')]) {
      const { error } = await fails(attempt());
      expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', permanent: true });
      expect((error as Error).message).toMatch(/`connect\(\)` has not been called/);
    }
    await locker.close();
  });

  test('can be used as soon as it is connected', async ({ site }) => {
    const { host, port } = site.proxy;
    const client = createClient({ socket: { host, port } });
    client.on('error', () => {});
    const locker = lockerOf(site, client);
    await fails(locker.tryLock('key'));
    await client.connect();
    site.onEnd(() => client.destroy());
    const lock = await locker.lock('key');
    expect(await lock.release()).toBe(true);
  });

  test('by the older protocol: one that listens to messages itself', async ({ site }) => {
    for (const RESP of [2, 3] as const) {
      const client = await clientOf(site, { RESP });
      await client.subscribe('news', () => {});
      const { error } = await fails(lockerOf(site, client).tryLock(`key ${RESP}`));
      // With the newer one, a connection can do both.
      if (RESP === 3) expect(error).toBeUndefined();
      else expect(String(error)).toMatch(/subscriber mode/);
    }
  });
});

describe.concurrent('the connection for messages', () => {
  test.for([2, 3] as const)('outlives its signs of life, by RESP %i', async (RESP, { site }) => {
    const locker = lockerOf(site, await clientOf(site, { RESP }));
    await locker.lock('held');
    await until('it is there', async () => (await listeners(site)).length === 1);
    const before = await listeners(site);
    const pings = async (): Promise<number> => {
      const stats = await site.admin.info('commandstats');
      return Number(/^cmdstat_ping:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
    };
    await until('it has been asked twice', async () => (await pings()) >= 2);
    expect(await listeners(site)).toEqual(before);
  });

  test('is a copy without listeners for errors, which ends no process when it is cut', async ({
    site,
  }) => {
    const [one, other] = [await clientOf(site), await clientOf(site)].map((client) =>
      lockerOf(site, client),
    ) as [Locker, Locker];
    const lock = await one.lock('key');
    const { taken } = await waiting(other, () => other.lock('key'));
    await until('both listen', async () => (await listeners(site)).length === 2);
    const before = await listeners(site);
    // An error without a listener would be one that nobody has caught, and fail the run.
    await site.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await until('both listen again', async () => {
      const now = await listeners(site);
      return now.length === 2 && now.every((id) => !before.includes(id));
    });
    await lock.release();
    expect((await taken).state).toBe('held');
  });
});

describe.concurrent('a client of the user', () => {
  test('gets nothing but texts to send', async ({ site }) => {
    const client = await clientOf(site);
    const sent: unknown[] = [];
    const send = client.sendCommand.bind(client) as (...args: unknown[]) => Promise<unknown>;
    const spied = Object.assign(Object.create(client) as NodeRedisClient, {
      sendCommand: (args: string[], options?: object) => {
        sent.push(...args);
        return send(args, options);
      },
    });
    const locker = lockerOf(site, spied);
    const lock = await locker.lock('key', { holdAtLeast: 10 });
    await lock.extend(20_000);
    await lock.release();
    await locker.list();
    await locker.inspect('key');
    expect(sent.length).toBeGreaterThan(20);
    expect(new Set(sent.map((word) => typeof word))).toEqual(new Set(['string']));
  });

  test('decodes what it likes: locks read what the server has written', async ({ site }) => {
    const client = await clientOf(site);
    // As `client.withTypeMapping({ BLOB_STRING: Buffer, NUMBER: String })` does.
    const mapped = client.withTypeMapping({ 36: Buffer, 58: String } as never);
    const locker = lockerOf(site, mapped);
    const lock = await locker.lock('key');
    expect(await locker.inspect('key')).toMatchObject({ fencingToken: lock.fencingToken });
    expect(await lock.release()).toBe(true);
  });

  test('has no listener of ours left when the last locker is closed', async ({ site }) => {
    const client = await clientOf(site);
    const counts = (): number[] =>
      ['ready', 'reconnecting', 'end', 'terminated', 'error'].map((event) =>
        client.listenerCount(event),
      );
    const before = counts();
    const lockers = Array.from({ length: 12 }, () => createLocker({ store: redisStore(client) }));
    for (const locker of lockers) await locker.withLock('key', () => {});
    expect(counts()).toEqual(before.map((count, index) => (index < 4 ? count + 1 : count)));
    for (const locker of lockers) await locker.close();
    expect(counts()).toEqual(before);
    expect(client.isReady).toBe(true);
  });

  test('that is closed ends the connection for messages', async ({ site }) => {
    const client = await clientOf(site);
    await lockerOf(site, client).lock('key');
    await until('it is there', async () => (await listeners(site)).length === 1);
    client.destroy();
    await until('it has ended', async () => (await listeners(site)).length === 0);
  });
});
