import { createLocker, LockStoreError, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedis } from '@holdfast/test-servers';
import { Cluster } from 'ioredis';
import { describe, expect } from 'vitest';
import { fails, test, until } from './site.ts';

/** It is told at once, also to those who would wait. */
async function refusesAtOnce(locker: Locker, message: RegExp): Promise<void> {
  for (const attempt of [locker.tryLock('key'), locker.lock('key'), locker.inspect('key')]) {
    const { error, after } = await fails(attempt);
    expect(error).toBeInstanceOf(LockStoreError);
    expect(error).toMatchObject({ permanent: true });
    expect((error as LockStoreError).message).toMatch(message);
    expect(after).toBeLessThan(2_000);
  }
}

describe.concurrent('what trying again cannot heal is an error at once', () => {
  test('a password that is missing', async ({ site }) => {
    await site.admin.config('SET', 'requirepass', 'secret');
    await refusesAtOnce(site.locker(), /credentials/);
  });

  test('a password that is wrong', async ({ site }) => {
    await site.admin.config('SET', 'requirepass', 'secret');
    await refusesAtOnce(site.locker({}, site.client({ password: 'wrong' })), /credentials/);
  });

  test('a user that may not run scripts', async ({ site }) => {
    await site.admin.acl('SETUSER', 'reader', 'on', '>secret', '~*', '&*', '+@read', '+info');
    const client = site.client({ username: 'reader', password: 'secret' });
    await refusesAtOnce(site.locker({}, client), /credentials/);
  });

  test('a client that was disconnected', async ({ site }) => {
    const client = site.client();
    const locker = site.locker({}, client);
    await locker.withLock('key', () => {});
    client.disconnect();
    await until('it has ended', () => client.status === 'end');
    await refusesAtOnce(locker, /closed/);
  });

  test('a client that gives up connecting', async ({ site }) => {
    const client = site.client({ retryStrategy: () => null, maxRetriesPerRequest: 0 });
    const locker = site.locker({}, client);
    await locker.withLock('key', () => {});
    await site.server.kill();
    await until('it has ended', () => client.status === 'end');
    await refusesAtOnce(locker, /closed/);
  });
});

describe.concurrent('a client that is closed under a held lock', () => {
  test.for(['disconnect', 'quit'] as const)(
    'by %s() lets it live to its deadline',
    async (how, { site }) => {
      const client = site.client();
      const locker = site.locker({ ttl: 1_500 }, client);
      const lock = await locker.lock('key');
      await client[how]();
      expect(lock.state).toBe('held');
      lock.assertHeld();
      await until('it is lost', () => lock.state === 'lost');
      expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
      expect(await lock.release()).toBe(false);
    },
  );
});

describe.concurrent('a client with options of its own', () => {
  test('that never queues and never retries recovers', async ({ site }) => {
    const options = { enableOfflineQueue: false, maxRetriesPerRequest: 0 };
    const client = site.client(options);
    await until('it is connected', () => client.status === 'ready');
    const locker = site.locker({}, client);
    const lock = await locker.lock('key');
    site.proxy.cutAll();
    const { error } = await fails(locker.tryLock('other'));
    if (error !== undefined) expect(error).toMatchObject({ permanent: false });
    expect((await locker.lock('third')).state).toBe('held');
    await lock.extend();
    expect(await lock.release()).toBe(true);
  });

  test('that times its commands out', async ({ site }) => {
    const locker = site.locker({ ttl: 10_000 }, site.client({ commandTimeout: 200 }));
    const lock = await locker.lock('key');
    await site.freeze();
    const { error } = await fails(locker.tryLock('other'));
    expect(error).toMatchObject({ permanent: false });
    expect(String((error as LockStoreError).cause)).toContain('timed out');
    site.server.thaw();
    await lock.extend();
    // What timed out is taken back.
    expect((await site.locker().lock('other', { wait: 5_000 })).state).toBe('held');
  });

  test('that connects when it is first used', async ({ site }) => {
    const locker = site.locker({}, site.client({ lazyConnect: true }));
    expect((await locker.lock('key')).state).toBe('held');
  });
});

describe.concurrent('a cluster without all its slots', () => {
  const clustered = ['--cluster-enabled', 'yes'];

  test('is an error, and no contention', async ({ site }) => {
    const server = await startRedis(redisBinary(), { args: clustered });
    site.onEnd(() => server.stop());
    const options = { clusterRetryStrategy: () => 100 };
    const cluster = new Cluster([{ host: server.host, port: server.port }], options);
    cluster.on('error', () => {});
    site.onEnd(() => cluster.disconnect());
    const locker = createLocker({ store: redisStore(cluster), storeTimeout: 700 });
    site.onEnd(() => locker.close());
    const { error, after } = await fails(locker.tryLock('key'));
    expect(error).toBeInstanceOf(LockStoreError);
    expect(after).toBeLessThan(3_000);
    expect((await fails(locker.lock('key', { wait: 500 }))).error).toBeInstanceOf(LockStoreError);
  });

  test('says CLUSTERDOWN to a client of one node', async ({ site }) => {
    const server = await startRedis(redisBinary(), { args: clustered });
    const client = site.admin.duplicate({ port: server.port });
    client.on('error', () => {});
    site.onEnd(() => server.stop());
    site.onEnd(() => client.disconnect());
    const { error } = await fails(site.locker({}, client).tryLock('key'));
    expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', permanent: false });
    expect(String((error as LockStoreError).cause)).toContain('CLUSTERDOWN');
  });
});
