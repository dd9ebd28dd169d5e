import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, LockArgumentError, type Locker } from '@holdfast/core';
import { redisStore, type RedisStoreOptions } from '@holdfast/redis';
import { describe, expect } from 'vitest';
import { fails, test, until, waiting, type Site } from './site.ts';

/** Holds the last token of a lock that is free. */
const LOCK = '{holdfast:key}';

const HOUR = 3_600_000;

const take = async (locker: Locker): Promise<number> => {
  const lock = await locker.lock('key', { wait: 20_000 });
  await lock.release();
  return lock.fencingToken;
};

const forgetting: Record<string, (site: Site) => unknown> = {
  'a release': () => {},
  FLUSHALL: ({ admin }) => admin.flushall(),
  'a restart without persistence': (site) => site.restart(),
  'an evicted key': ({ admin }) => admin.del(LOCK),
  'SCRIPT FLUSH': ({ admin }) => admin.script('FLUSH'),
};

describe.concurrent('fencing tokens grow', () => {
  test.for(Object.entries(forgetting))('grows across %s', async ([, forget], { site }) => {
    const locker = site.locker();
    let last = 0;
    for (let round = 0; round < 4; round++) {
      const token = await take(locker);
      expect(Number.isSafeInteger(token)).toBe(true);
      expect(token).toBeGreaterThan(last);
      last = token;
      await forget(site);
    }
  });

  test('grows when a request comes late for a lock that was released, and is taken back', async ({
    site,
  }) => {
    // As after a clock that was set back: tokens are counted on from the last one.
    const last = (Date.now() + HOUR) * 1_000;
    await site.admin.set(LOCK, String(last), 'PX', HOUR);
    const [store, lost] = [redisStore(site.client()), redisStore(site.client())];
    const ask = async (id: string, by = store): Promise<number> => {
      const who = { key: 'holdfast:key', id, owner: 'owner', label: '-', client: 'client' };
      const reply = await by.acquire({ ...who, ttl: 10_000, tokens: 1, wait: false });
      return reply.granted ? reply.token - last : 0;
    };
    expect([await ask('first'), await ask('second')]).toEqual([1, 2]);
    expect(await store.release({ key: 'holdfast:key', id: 'second' })).toBe(true);
    // Sent for the first on a connection that was lost.
    expect(await ask('first', lost)).toBe(3);
    expect(await store.release({ key: 'holdfast:key', id: 'first' })).toBe(true);
    expect(await ask('third')).toBe(4);
  });

  test('grows across an expiry, and within the blocks of local hand-offs', async ({ site }) => {
    const [first, second] = [site.locker({ ttl: 300 }), site.locker()];
    const lock = await first.lock('key', { renew: false });
    let last = lock.fencingToken;
    await until('it is over', () => lock.state === 'lost');
    for (const locker of [second, first, second]) {
      const tokens: number[] = [];
      const task = (): Promise<void> =>
        locker.withLock('key', (held) => void tokens.push(held.fencingToken));
      await Promise.all(Array.from({ length: 300 }, task));
      for (const token of tokens) {
        expect(token).toBeGreaterThan(last);
        last = token;
      }
    }
  });

  test('grows above one that is ahead of the clock, in digits', async ({ site }) => {
    const locker = site.locker();
    for (const start of [2 ** 52 + 12_345, 9_007_199_254_730_000]) {
      await site.admin.set(LOCK, start);
      expect(await take(locker)).toBe(start + 1);
      expect(await take(locker)).toBe(start + 2);
      expect(await site.admin.get(LOCK)).toBe(`${start + 2}`);
    }
  });

  test('keeps the last token for 24 to 25 hours after the last grant', async ({ site }) => {
    const locker = site.locker();
    await take(locker);
    const remembered = await site.admin.pttl(LOCK);
    expect(remembered).toBeGreaterThan(24 * HOUR);
    expect(remembered).toBeLessThanOrEqual(25 * HOUR);
    // A later grant counts anew, also where the expiry was taken away.
    for (const disturb of [site.admin.pexpire(LOCK, HOUR), site.admin.persist(LOCK)]) {
      await disturb;
      await take(locker);
      expect(await site.admin.pttl(LOCK)).toBeGreaterThan(24 * HOUR);
    }
  });

  test('keeps the last token for two leases when those are longer', async ({ site }) => {
    const lock = await site.locker({ ttl: 20 * HOUR }).lock('key');
    expect(await site.admin.pttl(LOCK)).toBeGreaterThan(39 * HOUR);
    await lock.release();
    expect(await site.admin.pttl(LOCK)).toBeGreaterThan(39 * HOUR);
  });

  test('keeps the last token for as long as `tokenRetention` says', async ({ site }) => {
    const store = redisStore(site.client(), { tokenRetention: 60_000 });
    const locker = createLocker({ store, ttl: 1_000 });
    site.onEnd(() => locker.close());
    const lock = await locker.lock('key');
    await lock.extend();
    await lock.release();
    const remembered = await site.admin.pttl(LOCK);
    expect(remembered).toBeGreaterThan(30_000);
    expect(remembered).toBeLessThanOrEqual(60_000);
    // Never for less than a lease, however long that is made.
    const longer = await locker.lock('key', { ttl: 600_000 });
    expect(await site.admin.pttl(LOCK)).toBeGreaterThan(1_100_000);
    await longer.release();
  });

  test('refuse a `tokenRetention` that cannot be meant', ({ site }) => {
    for (const tokenRetention of [0, -1, Number.NaN, Infinity, 86_400_001, null, '1']) {
      const options = { tokenRetention } as RedisStoreOptions;
      expect(() => redisStore(site.client(), options)).toThrow(LockArgumentError);
    }
  });

  test('refuse options that do not exist, and name the one that was meant', ({ site }) => {
    for (const [options, meant] of [
      [{ tokenRetension: 60_000 }, '`tokenRetention`'],
      [{ durabilty: { minReplicas: 1, timeout: 100 } }, '`durability`'],
      [{ durability: { minReplica: 1, timeout: 100 } }, '`minReplicas`'],
      [{ durability: null }, '`durability` must be an object'],
      [[], '`options` must be an object'],
    ] as const) {
      expect(() => redisStore(site.client(), options as RedisStoreOptions)).toThrow(meant);
    }
  });

  test('gives no token to a second holder by a hand-off', async ({ site }) => {
    const [first, second] = [site.locker(), site.locker()];
    const lock = await first.lock('key');
    const { taken } = await waiting(second, () => second.lock('key'));
    await site.admin.flushall();
    const next = await taken;
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    expect(await lock.release()).toBe(false);
    await next.extend();
    expect(next.state).toBe('held');
  });
});

describe.concurrent('a server that has forgotten its scripts', () => {
  test('learns the scripts again in the middle of everything', async ({ site }) => {
    const lockers = [site.locker({ ttl: 2_000 }), site.locker({ ttl: 2_000 })];
    const flush = setInterval(() => void fails(site.admin.script('FLUSH')), 3);
    site.onEnd(() => clearInterval(flush));
    let inside = 0;
    let done = 0;
    const task = async (locker: Locker): Promise<void> => {
      for (let round = 0; round < 40; round++) {
        await locker.withLock('key', async (lock) => {
          inside += 1;
          expect(inside).toBe(1);
          await sleep(0);
          lock.assertHeld();
          inside -= 1;
        });
        done += 1;
      }
    };
    await Promise.all(lockers.flatMap((locker) => [task(locker), task(locker)]));
    expect(done).toBe(160);
  });
});
