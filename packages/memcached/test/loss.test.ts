import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockLostError, type Lock, type LossReason } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { test, until, type Site } from './kit/site.ts';

const STORED = 'holdfast:key';

async function lossOf(lock: Lock): Promise<LockLostError> {
  if (!lock.signal.aborted) await once(lock.signal, 'abort');
  return lock.signal.reason as LockLostError;
}

const losses: Record<string, { take: (site: Site) => unknown; reasons: readonly LossReason[] }> = {
  flush_all: { take: (site) => site.ask('flush_all'), reasons: ['evicted'] },
  'an eviction': { take: (site) => site.ask(`delete ${STORED}`), reasons: ['evicted'] },
  'a release by somebody else': {
    take: (site) => site.ask(`set ${STORED} 0 60 0\r\n`),
    reasons: ['evicted'],
  },
  'another holder': {
    take: async (site) => {
      await site.ask(`delete ${STORED}`);
      // It must not change the item while the test looks at it.
      await site.locker({ ttl: 60_000 }).lock('key', { renew: false });
    },
    reasons: ['stolen'],
  },
  'data that is not a lock': {
    take: (site) => site.ask(`set ${STORED} 0 60 5\r\nhello`),
    reasons: ['stolen'],
  },
  'an operator': {
    take: (site) => site.locker().forceRelease('key'),
    reasons: ['evicted', 'forced'],
  },
};

describe.concurrent('a lock that is lost before its time', () => {
  for (const [what, { take, reasons }] of Object.entries(losses)) {
    for (const renew of [true, false]) {
      test(`tells of a loss to ${what} at the next check, with renew: ${renew}`, async ({
        site,
      }) => {
        const locker = site.locker({ ttl: 60_000 });
        const lock = await locker.lock('key', { renew });
        const takenAt = performance.now();
        await take(site);
        const error = await lossOf(lock);
        expect(error).toBeInstanceOf(LockLostError);
        expect(reasons).toContain(error.reason);
        // Every 2 s, and a busy machine.
        expect(performance.now() - takenAt).toBeLessThan(18_000);
        expect(lock.state).toBe('lost');
        const left = await site.value(STORED);
        expect(await lock.release()).toBe(false);
        expect(await site.value(STORED)).toBe(left);
      });
    }
  }

  test('tells of a loss to its own owner too', async ({ site }) => {
    const older = await site.locker().lock('key', { owner: 'task-7' });
    const newer = await site.locker().lock('key', { owner: 'task-7' });
    expect(newer.fencingToken).toBeGreaterThan(older.fencingToken);
    expect((await lossOf(older)).reason).toBe('superseded');
    expect(await older.release()).toBe(false);
    newer.assertHeld();
    expect(await newer.release()).toBe(true);
  });

  test('takes no lost lock again, though nobody else has it', async ({ site }) => {
    const lock = await site.locker().lock('key');
    await site.ask('flush_all');
    await lossOf(lock);
    await sleep(500);
    expect(await site.value(STORED)).toBeUndefined();
  });
});

describe.concurrent('a lock that is held', () => {
  test('stays held for long after its first lease', async ({ site }) => {
    const lock = await site.locker({ ttl: 3_000 }).lock('key');
    const other = site.locker();
    for (let second = 0; second < 9; second++) {
      await sleep(1_000);
      expect(await other.tryLock('key')).toBeNull();
    }
    expect(lock.state).toBe('held');
    expect(await lock.release()).toBe(true);
  });

  test('costs one request per renewal, and few of them', async ({ site }) => {
    const ttl = 4_000;
    const lock = await site.locker({ ttl }).lock('key');
    const before = site.proxy.requests;
    const startedAt = performance.now();
    await sleep(6_000);
    const held = performance.now() - startedAt;
    expect(site.proxy.requests - before).toBeLessThanOrEqual(held / (ttl / 4) + 2);
    expect(site.proxy.requests - before).toBeGreaterThanOrEqual(3);
    expect(lock.state).toBe('held');
  });

  test('costs one request to take, one to extend and one to release', async ({ site }) => {
    const locker = site.locker();
    await locker.withLock('warm', () => {});
    const before = site.proxy.requests;
    const lock = await locker.lock('key');
    await lock.extend();
    await lock.release();
    expect(site.proxy.requests - before).toBe(3);
  });

  test('passes a lock on within the process without a request', async ({ site }) => {
    const locker = site.locker();
    await locker.withLock('key', () => {});
    const before = site.proxy.requests;
    const tokens: number[] = [];
    const task = async (): Promise<void> => {
      await locker.withLock('key', (lock) => void tokens.push(lock.fencingToken));
    };
    await Promise.all(Array.from({ length: 100 }, task));
    expect(site.proxy.requests - before).toBeLessThan(20);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(100);
  });

  test('polls once per process, however many wait', async ({ site }) => {
    const holder = await site.locker().lock('key');
    const locker = site.locker();
    const waiting = Array.from({ length: 500 }, () => locker.withLock('key', () => {}));
    await sleep(500);
    const before = site.proxy.requests;
    await sleep(3_000);
    // Two requests each time, 20 to 500 ms apart, and the holder's renewals.
    expect(site.proxy.requests - before).toBeLessThan(150);
    await holder.release();
    await Promise.all(waiting);
  });

  test('keeps its key busy for as long as it was to be held at least', async ({ site }) => {
    const [locker, other] = [site.locker(), site.locker()];
    const startedAt = performance.now();
    await locker.withLock('key', { holdAtLeast: 3_000 }, () => {});
    expect(await other.tryLock('key')).toBeNull();
    expect(await locker.tryLock('key')).toBeNull();
    const next = await other.lock('key', { wait: 20_000 });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(2_900);
    await next.release();
  });

  test('shows a held lock to operators, and no free one', async ({ site }) => {
    const [locker, other] = [site.locker({ label: 'worker 1' }), site.locker()];
    expect(await other.inspect('key')).toBeNull();
    const lock = await locker.lock('key');
    await lock.extend();
    expect(await other.inspect('key')).toMatchObject({
      key: 'key',
      label: 'worker 1',
      owner: lock.owner,
      fencingToken: lock.fencingToken,
    });
    await lock.release();
    expect(await other.inspect('key')).toBeNull();
    await until('it is free', async () => (await other.tryLock('key')) !== null);
  });
});
