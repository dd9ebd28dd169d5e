import { setTimeout as sleep } from 'node:timers/promises';
import type { Locker } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { fails, test, until, waiting, type Site } from './site.ts';

const TOKEN = '{holdfast:key}:token';

const take = async (locker: Locker): Promise<number> => {
  const lock = await locker.lock('key', { wait: 10_000 });
  await lock.release();
  return lock.fencingToken;
};

const forgetting: Record<string, (site: Site) => unknown> = {
  'a release': () => {},
  FLUSHALL: ({ admin }) => admin.flushall(),
  'a restart without persistence': (site) => site.restart(),
  'an evicted token': ({ admin }) => admin.del(TOKEN),
  'SCRIPT FLUSH': ({ admin }) => admin.script('FLUSH'),
};

describe.concurrent('fencing tokens grow', () => {
  test.for(Object.entries(forgetting))('across %s', async ([, forget], { site }) => {
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

  test('across an expiry, and within the blocks of local hand-offs', async ({ site }) => {
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

  test('above one that is ahead of the clock, in digits', async ({ site }) => {
    const locker = site.locker();
    for (const start of [2 ** 52 + 12_345, 9_007_199_254_730_000]) {
      await site.admin.set(TOKEN, `0 ${start} 1`);
      expect(await take(locker)).toBe(start + 1);
      expect(await take(locker)).toBe(start + 2);
      expect(await site.admin.get(TOKEN)).toBe(`0 ${start + 2} 1`);
      expect(await site.admin.pttl(TOKEN)).toBe(-1);
    }
  });

  test('are kept for a day and more, but not for ever', async ({ site }) => {
    const locker = site.locker();
    await take(locker);
    const day = 86_400_000;
    expect(await site.admin.pttl(TOKEN)).toBeGreaterThan(2 * day);
    // What the first grant of a later day finds.
    await site.admin.set(TOKEN, `${Math.floor((Date.now() - 2 * day) / 1_000)} 0 1`, 'PX', day);
    await take(locker);
    expect(await site.admin.pttl(TOKEN)).toBeGreaterThan(2 * day);
  });

  test('and are passed on by nobody to a second holder', async ({ site }) => {
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
  test('is told them again, in the middle of everything', async ({ site }) => {
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
