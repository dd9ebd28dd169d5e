import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, LockArgumentError, storedKey, type LockerOptions } from '@holdfast/core';
import { redisQuorum, type RedisClient } from '@holdfast/redis';
import { redisBinary, startRedis } from '@holdfast/test-servers';
import { Cluster, type Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { calls, connections } from './kit.ts';
import { clientOf, clientsOf, useServers, eventually } from './quorum-kit.ts';

const servers = useServers(3);

let endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const ending of endings.splice(0).toReversed()) await ending();
  endings = [];
});

function lockerWith(clients: readonly Redis[], options: LockerOptions = {}) {
  const locker = createLocker({ store: redisQuorum(clients), ...options });
  endings.push(async () => {
    await locker.close();
    for (const client of clients) client.disconnect();
  });
  return locker;
}

test('only lists of different clients of single servers are taken', () => {
  const client = clientOf({ host: '127.0.0.1', port: 1 }, { lazyConnect: true });
  const cluster = new Cluster([], { lazyConnect: true });
  const wrong: unknown[] = [
    [],
    client,
    null,
    undefined,
    [client, client],
    [cluster],
    [null],
    Object.assign(Array(3), { 0: client }),
    ['x'],
    // As of some other library, which does not tell whether it is connected.
    [{ evalsha: async () => 1, eval: async () => 1, duplicate: () => client, on: () => {} }],
  ];
  for (const clients of wrong) {
    expect(() => redisQuorum(clients as RedisClient[])).toThrow(LockArgumentError);
  }
  for (const nodeTimeout of [0, -1, Number.NaN, Infinity, null, '5']) {
    const options = { nodeTimeout: nodeTimeout as number };
    expect(() => redisQuorum([client], options)).toThrow(LockArgumentError);
  }
  expect(() => redisQuorum([client], null as unknown as object)).toThrow(LockArgumentError);
  expect(() => redisQuorum([client], { nodeTimeOut: 5 } as object)).toThrow('`nodeTimeout`');
  client.disconnect();
  cluster.disconnect();
});

test('clients that have just been made, and lazy ones, are waited for', async () => {
  for (const lazyConnect of [false, true]) {
    const locker = lockerWith(servers.map((server) => clientOf(server, { lazyConnect })));
    expect(await locker.tryWithLock('fresh', (lock) => lock.fencingToken)).toEqual({
      acquired: true,
      value: 0,
    });
    expect(await lockerWith(servers.map((server) => clientOf(server))).inspect('fresh')).toBeNull();
  }
});

test('a majority of closed clients is a lasting error, a minority is none', async () => {
  const clients = await clientsOf(servers);
  const locker = lockerWith(clients);
  clients[0]?.disconnect();
  await eventually(() => clients[0]?.status).toBe('end');
  await locker.withLock('closed', () => {});
  clients[1]?.disconnect();
  await eventually(() => clients[1]?.status).toBe('end');
  await expect(locker.lock('closed')).rejects.toMatchObject({
    code: 'LOCK_STORE_UNAVAILABLE',
    permanent: true,
  });
});

test('keys that hold data of others are left alone', async () => {
  const clients = await clientsOf(servers);
  const locker = lockerWith(clients);
  const name = `{${storedKey('holdfast', 'foreign')}}`;
  await clients[0]?.set(name, 'mine');
  await locker.withLock('foreign', () => {});
  await clients[1]?.set(name, 'mine');
  await expect(locker.lock('foreign')).rejects.toMatchObject({ permanent: true });
  expect(await clients[0]?.get(name)).toBe('mine');
});

test('a lock takes one request per server, its release another, and no connection', async () => {
  const clients = await clientsOf(servers);
  const locker = lockerWith(clients);
  const admins = await clientsOf(servers);
  const counts = (): Promise<number[]> => Promise.all(admins.map(calls));
  // Not at first, when the servers do not know the scripts; and a majority is enough to go on, so that
  // the last server may hear of an earlier lock when the next is counted already.
  await eventually(async () => {
    const before = await counts();
    const lock = await locker.lock('round-trips');
    await lock.release();
    await sleep(100);
    return (await counts()).map((count, index) => count - (before[index] ?? 0));
  }).toEqual([2, 2, 2]);
  for (const admin of admins) {
    expect(await connections(admin)).toHaveLength(1);
    admin.disconnect();
  }
});

test('lockers of one store hand over, and close without the clients', async () => {
  const clients = await clientsOf(servers);
  const store = redisQuorum(clients);
  const lockers = [createLocker({ store }), createLocker({ store })] as const;
  const order: string[] = [];
  await Promise.all(
    lockers.flatMap((locker, index) =>
      ['a', 'b', 'c'].map((name) =>
        locker.withLock('shared', () => {
          order.push(`${index}${name}`);
        }),
      ),
    ),
  );
  expect(order).toHaveLength(6);
  for (const locker of lockers) await locker.close();
  expect(clients.map(({ status }) => status)).toEqual(['ready', 'ready', 'ready']);
  for (const client of clients) client.disconnect();
});

test('an operator sees and releases what a majority holds', async () => {
  const clients = await clientsOf(servers);
  const [holder, operator] = [
    lockerWith(clients, { ttl: 3_000, label: 'web-1' }),
    lockerWith(await clientsOf(servers)),
  ];
  const lock = await holder.lock('operated');
  expect(await operator.inspect('operated')).toMatchObject({
    label: 'web-1',
    owner: lock.owner,
    fencingToken: 0,
  });
  expect(await operator.forceRelease('operated')).toBe(true);
  await eventually(() => lock.state).toBe('lost');
  expect(lock.signal.reason).toMatchObject({ reason: 'forced' });
  expect(await operator.forceRelease('operated')).toBe(false);
});

test('a policy that may drop locks is warned of', async () => {
  const args = ['--maxmemory-policy', 'allkeys-lru'];
  const evicting = await startRedis(redisBinary(), { args });
  endings.push(() => evicting.stop());
  const clients = await clientsOf([...servers.slice(1), evicting]);
  const locker = lockerWith(clients);
  const codes: string[] = [];
  locker.on('warning', ({ code }) => codes.push(code));
  await locker.withLock('policy', () => {});
  await eventually(() => codes).toEqual(['HOLDFAST_REDIS_EVICTION']);
});
