import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedisCluster, type TestCluster } from '@holdfast/test-servers';
import { Cluster, type Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { slotOf } from '../src/commands/slots.ts';

let cluster: TestCluster;
let client: Cluster;
beforeAll(async () => {
  cluster = await startRedisCluster(redisBinary());
  client = new Cluster(cluster.masters.map(({ host, port }) => ({ host, port })));
}, 40_000);
afterAll(async () => {
  client.disconnect();
  await cluster.stop();
});

const names: Record<string, string> = {
  plain: 'invoice:42',
  'with braces': 'a{b}c',
  'with } first': '}a{b',
  'with empty braces': '{}',
  'that is a brace': '{',
  'with {{ and }}': '{{a}}',
  'with newlines': 'a\r\nb\n',
  'with quotes and spaces': ' "a" \'b\' ',
  'with a NUL': 'a\0b',
  'with emoji': '🔒👩‍🚀',
  'with a lone surrogate': 'a\ud800',
  'of 10 kB': 'x'.repeat(10_000),
  'of 10 kB of emoji': '🔒'.repeat(2_500),
  'like a Lua pattern': '%s+(.-)[^%]',
};

const nodeKeys = async (): Promise<string[]> =>
  (await Promise.all(client.nodes('master').map((node: Redis) => node.keys('*')))).flat();

describe('in a cluster, a key', () => {
  for (const [kind, key] of Object.entries(names)) {
    test(`${kind} is locked, waited for, renewed, inspected and released`, async () => {
      const lockers = [1, 2].map(() => createLocker({ store: redisStore(client) }));
      const [holder, other] = lockers as [(typeof lockers)[0], (typeof lockers)[0]];
      const lock = await holder.lock(key);
      expect(lock.key).toBe(key);
      await lock.extend();
      const waits = new Promise((resolve) => other.on('waiting', resolve));
      const taken = other.lock(key);
      await waits;
      expect(await other.inspect(key)).toMatchObject({ key, owner: lock.owner });
      expect(await holder.inspect(key)).toMatchObject({ waiters: 1 });
      expect(await lock.release()).toBe(true);
      const next = await taken;
      expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
      expect(await next.release()).toBe(true);
      for (const locker of lockers) await locker.close();
    });
  }

  test('never reaches the server raw, and all that belongs to it is in one slot', async () => {
    const locker = createLocker({ store: redisStore(client), namespace: 'slots' });
    const locks = await Promise.all(Object.values(names).map((key) => locker.lock(key)));
    const stored = (await nodeKeys()).filter((name) => name.includes('slots'));
    expect(new Set(stored).size).toBe(locks.length);
    for (const name of stored) {
      expect(name).toMatch(/^\{slots[!-z|~]*\}$/);
      expect(name.length).toBeLessThan(300);
      expect(await client.cluster('KEYSLOT', `${name}:queue`)).toBe(slotOf(name));
      expect(await client.cluster('KEYSLOT', name)).toBe(slotOf(name));
    }
    await locker.close();
  });

  test('does not collide with another, also across namespaces', async () => {
    const lockers = ['a', 'a:b', 'a%', ''].map((namespace) =>
      createLocker({ store: redisStore(client), namespace: namespace === '' ? 'x' : namespace }),
    );
    const keys = [['b:c', 'c', '25'], ['c', 'b:c'], ['25', '%25'], ['c']];
    const attempts = lockers.flatMap((locker, index) =>
      (keys[index] ?? []).map((key) => locker.tryLock(key)),
    );
    for (const lock of await Promise.all(attempts)) expect(lock?.state).toBe('held');
    for (const locker of lockers) await locker.close();
  });
});

test('several keys in different slots are one lock', async () => {
  const locker = createLocker({ store: redisStore(client), ttl: 5_000 });
  const keys = Array.from({ length: 20 }, (_, index) => `several:${index}`);
  const lock = await locker.lock(keys);
  for (const key of keys) expect(lock.tokenFor(key)).toBeGreaterThan(0);
  await lock.extend();
  const other = createLocker({ store: redisStore(client) });
  expect(await other.tryLock('several:7')).toBeNull();
  expect(await lock.release()).toBe(true);
  expect(await other.tryLock('several:7')).not.toBeNull();
  await locker.close();
  await other.close();
});
