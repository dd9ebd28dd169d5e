import { createLocker, type LockerOptions } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import {
  redisBinary,
  startRedisCluster,
  type TestCluster,
  type TestServer,
} from '@holdfast/test-servers';
import { Cluster } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lockKey } from '../src/redis-keys.ts';
import { slotOf } from '../src/commands/slots.ts';
import { until } from './site.ts';

let cluster: TestCluster;
let client: Cluster;
const endings: (() => unknown)[] = [];

beforeEach(async () => {
  // The other masters stay in service.
  const args = ['--cluster-require-full-coverage', 'no'];
  cluster = await startRedisCluster(redisBinary(), 3, args);
  client = connect();
}, 40_000);
afterEach(async () => {
  for (const master of cluster.masters) master.thaw();
  for (const end of endings.splice(0).toReversed()) await end();
  await cluster.stop();
});

function connect(): Cluster {
  const nodes = cluster.masters.map(({ host, port }) => ({ host, port }));
  const made = new Cluster(nodes);
  made.on('error', () => {});
  endings.push(() => made.disconnect());
  return made;
}

function locker(options: LockerOptions = {}, on = client) {
  const made = createLocker({ store: redisStore(on), ...options });
  endings.push(() => made.close());
  return made;
}

/** Keys whose locks are on a master, by its place. */
function keysOn(place: number, count: number): string[] {
  const keys: string[] = [];
  for (let index = 0; keys.length < count; index++) {
    const key = `key-${index}`;
    const slot = slotOf(lockKey(`holdfast:${key}`));
    if (Math.min(2, Math.floor(slot / (16_384 / 3))) === place) keys.push(key);
  }
  return keys;
}

describe('a master that hangs', () => {
  test('costs its own locks, and no others', async () => {
    const holder = locker({ ttl: 3_000 });
    const keys = [0, 1, 2].flatMap((place) => keysOn(place, 2));
    const locks = await Promise.all(keys.map((key) => holder.lock(key)));
    const reasons: unknown[] = [];
    holder.on('lost', ({ key, reason }) => reasons.push({ key, reason }));
    const renewed = new Map<string, number>();
    holder.on('renewed', ({ key }) => renewed.set(key, (renewed.get(key) ?? 0) + 1));
    const sick = cluster.masters[2] as TestServer;
    sick.freeze();
    await until('the locks of the sick master are lost', () => reasons.length >= 2);
    const seen = new Map(renewed);
    const healthy = keys.slice(0, 4);
    // Renewed for longer than a lease, all of them, while the master hangs.
    await until('the others are renewed on and on', () =>
      healthy.every((key) => (renewed.get(key) ?? 0) >= (seen.get(key) ?? 0) + 4),
    );
    expect(locks.map(({ state }) => state)).toEqual([
      'held',
      'held',
      'held',
      'held',
      'lost',
      'lost',
    ]);
    expect(reasons).toEqual(
      expect.arrayContaining(keys.slice(4).map((key) => ({ key, reason: 'expired' }))),
    );
    for (const lock of locks.slice(0, 4)) expect(await lock.release()).toBe(true);
  });

  test('does not keep those who wait elsewhere from hearing that a lock is busy', async () => {
    const [healthy = ''] = keysOn(0, 1);
    const [away = ''] = keysOn(2, 1);
    const holder = locker({ ttl: 60_000 }, connect());
    const lock = await holder.lock(healthy);
    await holder.lock(away);
    const waiter = locker({ ttl: 60_000 });
    const failed: unknown[] = [];
    const patient = waiter.lock(healthy, { wait: Infinity });
    const limited = waiter.lock(healthy, { wait: 3_000 }).catch((error: unknown) => error);
    void waiter.lock(away, { wait: 20_000 }).catch((error: unknown) => failed.push(error));
    await until('all wait', async () => ((await waiter.inspect(away))?.waiters ?? 0) >= 0);
    (cluster.masters[2] as TestServer).freeze();
    expect(await limited).toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
    await lock.release();
    expect((await patient).state).toBe('held');
    expect(failed).toEqual([]);
  });

  test('does not keep requests of the same tick to other masters waiting', async () => {
    const [first = '', second = ''] = keysOn(0, 2);
    const [away = ''] = keysOn(2, 1);
    const holder = locker({ ttl: 60_000 });
    const before = await holder.lock(first);
    const gone = await holder.lock(away);
    (cluster.masters[2] as TestServer).freeze();
    const answers = await Promise.all([gone.release(), before.release(), holder.tryLock(second)]);
    expect(answers).toEqual([false, true, expect.objectContaining({ state: 'held' })]);
  });
});
