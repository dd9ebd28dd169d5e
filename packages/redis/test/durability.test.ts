import { createLocker, LockArgumentError, storedKey, type LockerOptions } from '@holdfast/core';
import { redisStore, type RedisDurability } from '@holdfast/redis';
import {
  redisBinary,
  redisCommand,
  startProxy,
  startRedis,
  startRedisCluster,
  type TestServer,
} from '@holdfast/test-servers';
import { Cluster, type Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { connections, isFree } from './kit.ts';
import { clientOf, eventually } from './quorum-kit.ts';

let primary: TestServer;
let replicas: TestServer[] = [];
let admin: Redis;

const inStep = async (replica: TestServer): Promise<boolean> =>
  (await redisCommand(replica, 'INFO', 'replication')).includes('master_link_status:up');

beforeAll(async () => {
  primary = await startRedis(redisBinary(), { args: ['--repl-diskless-sync-delay', '0'] });
  const args = ['--replicaof', primary.host, String(primary.port)];
  replicas = await Promise.all([1, 2].map(() => startRedis(redisBinary(), { args })));
  await vi.waitFor(
    async () => expect(await Promise.all(replicas.map(inStep))).toEqual([true, true]),
    { timeout: 30_000 },
  );
  admin = clientOf(primary);
});

let endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const ending of endings.splice(0).toReversed()) await ending();
  for (const replica of replicas) replica.thaw();
  endings = [];
});
afterAll(async () => {
  admin.disconnect();
  await Promise.all([primary, ...replicas].map((server) => server.stop()));
});

function lockerWith(durability: RedisDurability, options: LockerOptions = {}, client?: Redis) {
  const own = client ?? clientOf(primary);
  const locker = createLocker({ store: redisStore(own, { durability }), ttl: 120_000, ...options });
  endings.push(async () => {
    await locker.close();
    own.disconnect();
  });
  return locker;
}

const nameOf = (key: string): string => `{${storedKey('holdfast', key)}}`;

/** How often the server was told to wait for replicas. */
async function waits(): Promise<number> {
  return Number(/cmdstat_wait:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0);
}

test('options that cannot be meant are refused', () => {
  const client = clientOf(primary, { lazyConnect: true });
  const wrong: unknown[] = [
    null,
    {},
    { minReplicas: 0, timeout: 100 },
    { minReplicas: 1.5, timeout: 100 },
    { minReplicas: 1 },
    { minReplicas: 1, timeout: 0 },
    { minReplicas: 1, timeout: Infinity },
  ];
  for (const durability of wrong) {
    const options = { durability: durability as RedisDurability };
    expect(() => redisStore(client, options)).toThrow(LockArgumentError);
  }
  expect(() => redisStore(client, null as unknown as object)).toThrow(LockArgumentError);
  client.disconnect();
});

test('a grant is on the replicas when it is returned', async () => {
  const locker = lockerWith({ minReplicas: 2, timeout: 5_000 });
  for (let round = 0; round < 20; round++) {
    const lock = await locker.lock(`copied-${round}`);
    for (const replica of replicas) {
      const value = await redisCommand(replica, 'GET', nameOf(`copied-${round}`));
      expect(value).toContain(lock.owner);
    }
  }
});

test('a grant that too few replicas have is refused and taken back', async () => {
  const [enough, strict] = [
    lockerWith({ minReplicas: 1, timeout: 200 }),
    lockerWith({ minReplicas: 2, timeout: 200 }),
  ];
  replicas[0]?.freeze();
  expect(await enough.tryWithLock('cut-off', () => 'done')).toMatchObject({ value: 'done' });
  await expect(strict.tryLock('cut-off')).rejects.toMatchObject({
    code: 'LOCK_STORE_UNAVAILABLE',
    permanent: false,
  });
  await eventually(() => isFree(admin, nameOf('cut-off'))).toBe(true);
  replicas[1]?.freeze();
  await expect(enough.tryLock('cut-off')).rejects.toMatchObject({
    cause: expect.objectContaining({ message: 'Only 0 of 1 replicas have the grant.' }) as unknown,
  });
  for (const replica of replicas) replica.thaw();
  await eventually(() =>
    strict.tryWithLock('cut-off', () => 'done').catch(() => null),
  ).toMatchObject({ value: 'done' });
});

test('who waits gets the lock when the replicas are back', async () => {
  const locker = lockerWith({ minReplicas: 2, timeout: 200 });
  replicas[0]?.freeze();
  const failed = new Promise((resolve) => locker.on('store-error', resolve));
  const waiting = locker.withLock('back', { wait: 20_000 }, (lock) => lock.state);
  await failed;
  replicas[0]?.thaw();
  expect(await waiting).toBe('held');
});

test('nobody else waits for the replicas', async () => {
  const client = clientOf(primary);
  const locker = lockerWith({ minReplicas: 2, timeout: 5_000 }, {}, client);
  const lock = await locker.lock('held-before');
  const before = await waits();
  replicas[0]?.freeze();
  let settled = false;
  const refused = locker.tryLock('waits', { ttl: 60_000 }).then(
    () => (settled = true),
    () => (settled = true),
  );
  await eventually(() => admin.client('LIST')).toContain('cmd=wait');
  await lock.extend();
  expect(await lock.release()).toBe(true);
  expect(await client.ping()).toBe('PONG');
  expect(settled).toBe(false);
  replicas[0]?.thaw();
  await refused;
  expect(await waits()).toBe(before + 1);
});

test('grants that are made together are waited for together', async () => {
  const locker = lockerWith({ minReplicas: 2, timeout: 5_000 });
  await locker.withLock('warm-up', () => {});
  const before = await waits();
  const keys = Array.from({ length: 50 }, (_, index) => `together-${index}`);
  await Promise.all(keys.map((key) => locker.withLock(key, () => {})));
  expect((await waits()) - before).toBeLessThan(25);
});

test('the connection is closed with the last locker, and with the client', async () => {
  const locker = lockerWith({ minReplicas: 1, timeout: 5_000 });
  await locker.withLock('connection', () => {});
  await eventually(async () => (await connections(admin)).length).toBe(2 + replicas.length);
  await locker.close();
  await eventually(async () => (await connections(admin)).length).toBe(1 + replicas.length);
  const client = clientOf(primary);
  const other = createLocker({
    store: redisStore(client, { durability: { minReplicas: 1, timeout: 5_000 } }),
  });
  await other.withLock('connection', () => {});
  await client.quit();
  await eventually(async () => (await connections(admin)).length).toBe(1 + replicas.length);
  await other.close();
});

describe('when the connection that waits has trouble', () => {
  async function behindProxy(timeout: number) {
    const proxy = await startProxy(primary);
    endings.push(() => proxy.stop());
    const client = clientOf(primary);
    const { host, port } = proxy;
    const duplicate = client.duplicate.bind(client);
    client.duplicate = (override) => duplicate({ ...override, host, port });
    return { proxy, locker: lockerWith({ minReplicas: 1, timeout }, {}, client) };
  }

  test('an answer that never comes is not waited for, and the next grant has a new connection', async () => {
    const { proxy, locker } = await behindProxy(100);
    await locker.withLock('hangs', () => {});
    proxy.dropReplies();
    await expect(locker.tryLock('hangs')).rejects.toMatchObject({
      cause: expect.objectContaining({
        message: expect.stringContaining('did not answer') as unknown,
      }) as unknown,
    });
    await eventually(() => isFree(admin, nameOf('hangs'))).toBe(true);
    proxy.heal();
    expect(await locker.tryWithLock('hangs', () => 'done')).toMatchObject({ value: 'done' });
  });

  test('a connection that is cut is opened again', async () => {
    const { proxy, locker } = await behindProxy(5_000);
    await locker.withLock('cut', () => {});
    proxy.cutAll();
    const again = () => locker.tryWithLock('cut', () => 'done').catch(() => null);
    await eventually(again).toMatchObject({ value: 'done' });
  });

  test('a grant that is gone by then is refused', async () => {
    const { proxy, locker } = await behindProxy(5_000);
    await locker.withLock('forgotten', () => {});
    proxy.delayRequests(300);
    const refused = locker.tryLock('forgotten').catch((error: unknown) => error);
    await eventually(() => admin.del(nameOf('forgotten'))).toBe(1);
    expect(await refused).toMatchObject({ cause: { message: 'The grant is gone.' } });
  });
});

test('in a cluster, the replicas of the master that has the lock are waited for', async () => {
  const cluster = await startRedisCluster(redisBinary());
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'];
  const replica = await startRedis(redisBinary(), { args });
  endings.push(async () => {
    await replica.stop();
    await cluster.stop();
  });
  const [master] = cluster.masters as [TestServer];
  const id = /\r\n(\w{40})/.exec(await redisCommand(master, 'CLUSTER', 'MYID'))?.[1] ?? '';
  await redisCommand(replica, 'CLUSTER', 'MEET', master.host, String(master.port));
  await eventually(() =>
    redisCommand(replica, 'CLUSTER', 'REPLICATE', id).catch(() => ''),
  ).toContain('OK');
  await eventually(() => inStep(replica).catch(() => false)).toBe(true);
  const nodes = cluster.masters.map(({ host, port }) => ({ host, port }));
  const client = new Cluster(nodes, { keyPrefix: 'app:' });
  // More than a busy machine takes for a replica's answer; those without a replica wait for it together.
  const store = redisStore(client, { durability: { minReplicas: 1, timeout: 1_000 } });
  const locker = createLocker({ store, ttl: 20_000 });
  const keys = Array.from({ length: 18 }, (_, index) => `cluster-${index}`);
  const locks = await Promise.allSettled(keys.map((key) => locker.tryLock(key)));
  const granted = keys.filter((_, index) => locks[index]?.status === 'fulfilled');
  const slots = await Promise.all(
    keys.map((key) => client.cluster('KEYSLOT', `app:${nameOf(key)}`)),
  );
  // The first of three masters has a third of the slots.
  expect(granted).toEqual(keys.filter((_, index) => Number(slots[index]) < Math.floor(16_384 / 3)));
  expect(granted.length).toBeGreaterThan(0);
  await locker.close();
  client.disconnect();
});
