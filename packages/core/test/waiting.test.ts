import { describe, expect, test } from 'vitest';
import {
  LockNotAcquiredError,
  LockStoreError,
  type Lock,
  type LockerOptions,
} from '../src/index.ts';
import { bench, hear, watch } from './kit.ts';

describe('lock', () => {
  test('waits until the lock is released', async () => {
    const { locker, clock } = bench();
    const first = await locker().lock('k');
    const waiter = watch(locker().lock('k'), clock);
    await clock.advance(60_000);
    expect(waiter.state).toBe('pending');
    await first.release();
    await clock.advance(0);
    expect(waiter).toMatchObject({ state: 'fulfilled', at: 60_000 });
  });

  test('waits until the lease of a crashed holder is over', async () => {
    const { locker, clock, free } = bench();
    // Not renewed and not released: as if its process were gone.
    await locker().lock('k', { ttl: 5_000, renew: false });
    const waiter = watch(locker().lock('k'), clock);
    await clock.advance(4_999);
    expect(waiter.state).toBe('pending');
    await clock.advance(1);
    expect(waiter).toMatchObject({ state: 'fulfilled', at: 5_000 });
    await waiter.value!.release();
    expect(await free('k')).toBe(true);
  });

  test.each([1, 50, 3_000])('gives up after %d ms, not earlier', async (wait) => {
    const { locker, clock } = bench();
    await locker().lock('k');
    const one = locker();
    const waiters = [
      watch(locker().lock('k', { wait }), clock),
      watch(locker({ wait }).lock('k'), clock),
      // Behind another waiter of the same locker.
      watch(one.lock('k', { wait }), clock),
      watch(one.lock('k', { wait }), clock),
      watch(
        one.withLock('k', { wait }, () => {}),
        clock,
      ),
    ];
    await clock.advance(wait - 0.5);
    expect(waiters.map(({ state }) => state)).toEqual(waiters.map(() => 'pending'));
    await clock.advance(0.5);
    for (const { reason, at } of waiters) {
      expect(at).toBe(wait);
      expect(reason).toBeInstanceOf(LockNotAcquiredError);
      expect(reason).toMatchObject({ key: 'k', waited: wait });
    }
  });

  test('leaves nothing behind when it gives up', async () => {
    const { locker, clock, memory } = bench();
    const holder = locker();
    const first = await holder.lock('k');
    const waiter = watch(locker().lock('k', { wait: 100 }), clock);
    await clock.advance(200);
    expect(waiter.state).toBe('rejected');
    expect(await holder.inspect('k')).toMatchObject({ waiters: 0 });
    await first.release();
    // Not reserved for the one that has gone.
    expect(await locker().tryLock('k')).not.toBeNull();
    expect(memory.name).toBe('memory');
  });

  test('grants at the very end of its wait, or rejects, but does not hang', async () => {
    for (const at of [99, 99.5, 100, 100.5]) {
      const { locker, clock, free } = bench();
      const first = await locker().lock('k');
      const waiter = watch(locker().lock('k', { wait: 100 }), clock);
      await clock.advance(at);
      await first.release();
      await clock.advance(10);
      expect(waiter.state).toBe(at < 100 ? 'fulfilled' : 'rejected');
      await waiter.value?.release();
      expect(await free('k')).toBe(true);
    }
  });

  test.each([2 ** 31 + 1_000, 2 ** 33, Number.MAX_SAFE_INTEGER])(
    'waits longer than a timer can: %d ms',
    async (wait) => {
      const { locker, clock } = bench();
      const longest = { ms: 0 };
      const real = clock.setTimeout.bind(clock);
      clock.setTimeout = (callback, ms) => {
        longest.ms = Math.max(longest.ms, ms);
        return real(callback, ms);
      };
      // Renewed so seldom that days pass quickly.
      await locker().lock('k', { ttl: 86_400_000 });
      const waiter = watch(locker().lock('k', { wait, ttl: 86_400_000 }), clock);
      await clock.advance(10_000);
      expect(waiter.state).toBe('pending');
      expect(longest.ms).toBeLessThan(2 ** 31);
    },
  );

  test('wait: 0 is one attempt', async () => {
    const { locker, sent, clock } = bench();
    await locker().lock('k');
    const before = sent('acquire');
    const waiter = watch(locker().lock('k', { wait: 0 }), clock);
    await clock.advance(0);
    expect(waiter.reason).toBeInstanceOf(LockNotAcquiredError);
    expect(sent('acquire')).toBe(before + 1);
    expect(clock.now()).toBe(0);
  });
});

describe('tryLock', () => {
  test('answers at once: a lock, or null', async () => {
    const { locker, sent } = bench();
    const lock = await locker().tryLock('k');
    expect(lock?.state).toBe('held');
    expect(await locker().tryLock('k')).toBeNull();
    expect(sent('acquire')).toBe(2);
    expect(await locker().tryWithLock('k', () => 1)).toEqual({ acquired: false });
    await lock?.release();
    expect(await locker().tryWithLock('k', () => 1)).toEqual({ acquired: true, value: 1 });
  });

  test('rejects when the store is away: that is not contention', async () => {
    const { locker, faults } = bench();
    faults.fail({ times: 3, error: new Error('ECONNREFUSED') });
    for (const attempt of [
      locker().tryLock('k'),
      locker().lock('k', { wait: 0 }),
      locker().tryWithLock('k', () => 1),
    ]) {
      await expect(attempt).rejects.toMatchObject({
        code: 'LOCK_STORE_UNAVAILABLE',
        phase: 'acquire',
        key: 'k',
        cause: { message: 'ECONNREFUSED' },
      });
    }
  });

  const bounds: [string, LockerOptions, { ttl?: number }, number][] = [
    ['half of the ttl', {}, { ttl: 1_000 }, 500],
    ['two seconds', {}, {}, 2_000],
    ['storeTimeout', { storeTimeout: 300 }, {}, 300],
    ['a storeTimeout above the ttl', { storeTimeout: 1_500 }, { ttl: 1_000 }, 1_500],
  ];
  test.each(bounds)(
    'settles within its limit when the store hangs: %s',
    async (_, options, given, limit) => {
      const { locker, clock, faults } = bench();
      faults.dropRequest({ times: Infinity });
      const attempts = [
        watch(locker(options).tryLock('k', given), clock),
        watch(locker(options).lock('k', { ...given, wait: 0 }), clock),
        watch(locker(options).tryLock(['k', 'j'], given), clock),
        watch(
          locker(options).tryWithLock('k', given, () => {}),
          clock,
        ),
      ];
      await clock.advance(limit - 1);
      expect(attempts.map(({ state }) => state)).not.toContain('rejected');
      await clock.advance(100);
      for (const { reason, at } of attempts) {
        expect(reason).toBeInstanceOf(LockStoreError);
        expect(at).toBe(limit);
      }
    },
  );
});

describe('tryLock and wait: 0 never overtake', () => {
  const attempts = {
    'tryLock of another locker': ({ other }: Seats) => other.tryLock('k'),
    'tryLock of the same locker': ({ same }: Seats) => same.tryLock('k'),
    'tryLock of the releasing locker': ({ releasing }: Seats) => releasing.tryLock('k'),
    'wait: 0 of another locker': ({ other }: Seats) => other.lock('k', { wait: 0 }),
    'wait: 0 of the same locker': ({ same }: Seats) => same.lock('k', { wait: 0 }),
    'wait: 0 of the releasing locker': ({ releasing }: Seats) => releasing.lock('k', { wait: 0 }),
  };
  type Seats = Record<
    'other' | 'same' | 'releasing',
    ReturnType<ReturnType<typeof bench>['locker']>
  >;

  for (const [name, attempt] of Object.entries(attempts)) {
    for (const slow of [0, 20]) {
      test(`${name}, with a store that takes ${slow} ms`, async () => {
        const { locker, clock, faults } = bench();
        const seats: Seats = { other: locker(), same: locker(), releasing: locker() };
        const first = await seats.releasing.lock('k');
        const waiter = watch(seats.same.lock('k'), clock);
        await clock.advance(100);
        if (slow > 0) faults.delay(slow, { times: Infinity });
        const released = first.release();
        const tries = [watch(attempt(seats), clock)];
        for (let i = 0; i < 10 && waiter.state === 'pending'; i++) {
          await clock.advance(slow / 4);
          tries.push(watch(attempt(seats), clock));
        }
        await clock.advance(100);
        expect(await released).toBe(true);
        expect(waiter.state).toBe('fulfilled');
        for (const { value } of tries) expect(value ?? null).toBeNull();
        expect(waiter.value?.state).toBe('held');
      });
    }
  }

  test('overtakes nobody when the lease of a crashed holder is over', async () => {
    const { locker, clock } = bench();
    await locker().lock('k', { ttl: 1_000, renew: false });
    const waiter = watch(locker().lock('k'), clock);
    const got: (Lock | null)[] = [];
    // As soon as the lease is over, before any timer of the waiter.
    clock.setTimeout(
      () =>
        void locker()
          .tryLock('k')
          .then((lock) => got.push(lock)),
      1_000,
    );
    await clock.advance(5_000);
    expect(waiter.state).toBe('fulfilled');
    expect(got).toEqual([null]);
  });

  test('a key that someone waits for is busy also where the wait is for another key first', async () => {
    const { locker, clock } = bench();
    const other = await locker().lock('b');
    const both = watch(locker().lock(['a', 'b']), clock);
    await clock.advance(10);
    await other.release();
    expect(await locker().tryLock('b')).toBeNull();
    await clock.advance(10);
    expect(both.state).toBe('fulfilled');
  });
});

test('waiting is told once, and only where there is something to wait for', async () => {
  const { locker, clock } = bench();
  const one = locker();
  const heard = hear(one, 'waiting');
  const lock = await one.lock('k');
  await one.tryLock('k');
  expect(heard).toEqual([]);
  void one.lock('k', { wait: 20_000 }).catch(() => {});
  await clock.advance(30_000);
  expect(heard).toHaveLength(1);
  await lock.release();
});
