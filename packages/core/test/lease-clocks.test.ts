import { describe, expect, test } from 'vitest';
import {
  createLocker,
  LockLostError,
  memoryStore,
  type Clock,
  type Lock,
  type Locker,
} from '../src/index.ts';
import { bench, hear, variant, virtualClock, type VirtualClock } from './kit.ts';

const DAY = 24 * 60 * 60 * 1_000;

function lost(lock: Lock): LockLostError | undefined {
  try {
    lock.assertHeld();
    return undefined;
  } catch (error) {
    return error as LockLostError;
  }
}

describe('the signal point is the end of the lease less the safety margin', () => {
  // min(max(ttl / 10, 50), 2 000, ttl / 4)
  test.each([
    [10, 2.5],
    [100, 25],
    [200, 50],
    [400, 50],
    [500, 50],
    [1_000, 100],
    [10_000, 1_000],
    [20_000, 2_000],
    [60_000, 2_000],
    [DAY, 2_000],
  ])('a ttl of %d ms has a margin of %d ms', async (ttl, margin) => {
    const { locker, clock } = bench();
    const lock = await locker().lock('k', { ttl, renew: false });
    expect(lock.remaining).toBe(ttl - margin);
    const point = ttl - margin;
    await clock.advance(point - 0.25);
    expect(lock.state).toBe('held');
    expect(lock.remaining).toBeCloseTo(0.25);
    expect(lost(lock)).toBeUndefined();
    await clock.advance(0.25);
    expect(lock.state).toBe('lost');
    expect(lock.remaining).toBe(0);
    expect(lost(lock)?.reason).toBe('expired');
    expect(lock.signal.aborted).toBe(true);
  });

  test.each([
    [0, 1_000],
    [1, 999],
    [333, 667],
  ])('a margin of %d ms instead of the default', async (safetyMargin, left) => {
    const { locker } = bench();
    const lock = await locker({ safetyMargin, ttl: 1_000 }).lock('k');
    expect(lock.remaining).toBe(left);
  });

  test('the ttl of the locker is the default, and 10 s its own', async () => {
    const { locker } = bench();
    expect((await locker().lock('a')).remaining).toBe(9_000);
    expect((await locker({ ttl: 1_000 }).lock('b')).remaining).toBe(900);
    expect((await locker({ ttl: 1_000 }).lock('c', { ttl: 2_000 })).remaining).toBe(1_800);
  });

  test('no one else is granted the lock before', async () => {
    const { locker, clock } = bench();
    const lock = await locker().lock('k', { ttl: 100, renew: false });
    let at = 0;
    for (; (await locker().tryLock('k')) === null; at += 1) await clock.advance(1);
    expect(at).toBe(100);
    expect(lock.signal.aborted).toBe(true);
    expect(lost(lock)).toBeInstanceOf(LockLostError);
  });

  test('clocks that are not shared cost 1 % of the ttl and 2 ms', async () => {
    const { locker, faults } = bench((store) =>
      variant(store, { capabilities: { ...store.capabilities, sharedClock: false } }),
    );
    expect(faults.capabilities.sharedClock).toBe(true);
    const lock = await locker().lock('k', { ttl: 1_000 });
    expect(lock.remaining).toBe(1_000 - 12 - 100);
  });
});

describe('the lease is counted from before its request was sent', () => {
  test('counts a grant from before its request was sent', async () => {
    const { locker, clock, faults } = bench();
    faults.delay(200, { verb: 'acquire' });
    const promise = locker().lock('k', { ttl: 1_000, renew: false });
    await clock.advance(200);
    const lock = await promise;
    expect(lock.remaining).toBe(700);
    await clock.advance(700);
    expect(lock.state).toBe('lost');
  });

  test('counts a renewal from before its request was sent', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker({ ttl: 3_000 }).lock('k');
    faults.delay(400, { verb: 'renew' });
    await clock.advance(1_399);
    // Sent after a third; the answer is not here yet.
    expect(lock.remaining).toBe(3_000 - 300 - 1_399);
    await clock.advance(1);
    expect(lock.remaining).toBe(3_000 - 300 - 400);
  });

  test('counts an extension from before its request was sent', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker({ ttl: 3_000 }).lock('k');
    faults.delay(400, { verb: 'renew' });
    const extended = lock.extend(6_000);
    await clock.advance(400);
    await extended;
    expect(lock.remaining).toBe(6_000 - 600 - 400);
  });
});

describe('the wall clock', () => {
  const HOUR = 3_600_000;

  test.each([HOUR, -HOUR, 499, -499])('may jump by %d ms without a loss', async (jump) => {
    const { locker, clock } = bench();
    const lock = await locker({ ttl: 1_000 }).lock('k');
    const fixed = await locker({ ttl: 1_000 }).lock('j', { renew: false });
    clock.stepWall(jump);
    lock.assertHeld();
    fixed.assertHeld();
    expect(lock.remaining).toBe(900);
    await clock.advance(899);
    lock.assertHeld();
    fixed.assertHeld();
    await clock.advance(1);
    lock.assertHeld();
    expect(fixed.state).toBe('lost');
    expect(await locker().tryLock('k')).toBeNull();
  });

  test('renews all locks at once when the wall clock jumps ahead', async () => {
    const { locker, clock, requests } = bench();
    const one = locker();
    const lock = await one.lock('k');
    await clock.advance(100);
    clock.stepWall(501);
    lock.assertHeld();
    await clock.advance(1);
    // The shortest timer there is.
    expect(requests.filter(({ verb }) => verb === 'renew').map(({ at }) => at)).toEqual([101]);
    expect(lock.remaining).toBe(9_000);
  });

  test('renews nothing early when the wall clock jumps by a little', async () => {
    const { locker, clock, sent } = bench();
    const lock = await locker().lock('k');
    clock.stepWall(499);
    lock.assertHeld();
    await clock.advance(10);
    expect(sent('renew')).toBe(0);
  });

  test('loses nothing when the wall clock jumps an hour ahead again and again', async () => {
    const { locker, clock } = bench();
    const one = locker({ ttl: 300 });
    const heard = hear(one, 'lost');
    const lock = await one.lock('k');
    for (let i = 0; i < 50; i++) {
      clock.stepWall(HOUR);
      await clock.advance(37);
      lock.assertHeld();
    }
    expect(heard).toEqual([]);
  });
});

describe('a machine that was suspended', () => {
  test('knows in the very next statement that its lease is over', async () => {
    const { locker, clock } = bench();
    const lock = await locker({ ttl: 10_000 }).lock('k');
    clock.suspend(9_000);
    expect(lost(lock)?.reason).toBe('expired');
    expect(lock.state).toBe('lost');
    expect(lock.remaining).toBe(0);
    await clock.advance(5);
    expect(lock.signal.aborted).toBe(true);
  });

  test('counts the time that it was away, and still holds what is left', async () => {
    const { locker, clock } = bench();
    const lock = await locker({ ttl: 10_000 }).lock('k', { renew: false });
    clock.suspend(5_000);
    lock.assertHeld();
    expect(lock.remaining).toBe(4_000);
    await clock.advance(3_999);
    expect(lock.state).toBe('held');
    await clock.advance(1);
    expect(lock.state).toBe('lost');
    expect(lock.signal.aborted).toBe(true);
  });

  test.each([49, 60, 200, 490])(
    'for %d ms only is noticed too, where the store does not sleep with it',
    async (ms) => {
      const { clock, locker } = bench((store) =>
        variant(store, { capabilities: { ...store.capabilities, sharedClock: false } }),
      );
      const lock = await locker().lock('k', { ttl: 1_000, renew: false });
      // The lease is 988 ms long, and the margin is 100 ms: half of it may go unnoticed.
      clock.suspend(ms);
      await clock.advance(939 - ms);
      expect(lock.state).toBe('lost');
    },
  );

  test('for a short time is noticed too when the wall clock was set back by a little more', async () => {
    const { clock, locker } = bench((store) =>
      variant(store, { capabilities: { ...store.capabilities, sharedClock: false } }),
    );
    const lock = await locker().lock('k', { ttl: 1_000, renew: false });
    clock.suspend(480);
    clock.stepWall(-600);
    await clock.advance(939 - 480);
    expect(lock.state).toBe('lost');
  });

  test.each([
    { ttl: 1_000, after: 600, sleep: 350 },
    { ttl: 10_000, after: 2_000, sleep: 7_500 },
    { ttl: 10_000, after: 2_000, sleep: 60_000 },
  ])(
    'fires the signals of what it slept away at once, whoever notices it ($sleep of $ttl ms)',
    async ({ ttl, after, sleep }) => {
      const { clock, locker } = bench((store) =>
        variant(store, { capabilities: { ...store.capabilities, sharedClock: false } }),
      );
      const one = locker();
      const lock = await one.lock('k', { ttl, renew: false });
      const other = await one.lock('other', { ttl: 100_000 });
      let firedAt: number | undefined;
      lock.signal.addEventListener('abort', () => (firedAt = clock.now()));
      await clock.advance(after);
      clock.suspend(sleep);
      // Not by the timer for the lock, which stood still too.
      other.assertHeld();
      await clock.advance(1);
      expect(firedAt).toBe(after + 1);
    },
  );

  test('fires a signal in time although its timer was set before it slept, for another lock', async () => {
    const { clock, locker } = bench((store) =>
      variant(store, { capabilities: { ...store.capabilities, sharedClock: false } }),
    );
    const one = locker();
    const earlier = await one.lock('earlier', { ttl: 1_000, renew: false });
    await earlier.release();
    clock.suspend(600);
    await clock.advance(1);
    const lock = await one.lock('k', { ttl: 400, renew: false });
    let firedAt: number | undefined;
    lock.signal.addEventListener('abort', () => (firedAt = clock.now()));
    await clock.advance(400);
    expect(firedAt).toBeLessThan(1 + 400 - 50);
  });

  describe.each([true, false])('with a store that sleeps too: %s', (sharedClock) => {
    const ways: Record<string, (one: Locker) => Promise<Lock | null>> = {
      lock: (one) => one.lock('k'),
      tryLock: (one) => one.tryLock('k'),
      'lock of a list': (one) => one.lock(['a', 'b']),
      'lock by an owner': (one) => one.lock('k', { owner: 'one' }),
      permit: (one) => one.lock('k', { limit: 2 }),
      'permit and key': (one) => one.lock(['a', 'b'], { limit: [1, 2] }),
    };
    test.each(Object.entries(ways))('grants a %s that is held, first thing', async (_, take) => {
      const { clock, locker } = bench((store) =>
        variant(store, { capabilities: { ...store.capabilities, sharedClock } }),
      );
      const one = locker();
      await (await one.lock('earlier')).release();
      clock.suspend(3_600_000);
      const lock = await take(one);
      expect(lock?.state).toBe('held');
    });
  });

  test('leaves the boot clock alone when the wall clock is adjusted a little', async () => {
    const { clock, locker, sent } = bench((store) =>
      variant(store, { capabilities: { ...store.capabilities, sharedClock: false } }),
    );
    const lock = await locker().lock('k', { ttl: 1_000 });
    await clock.advance(100);
    clock.stepWall(200);
    expect(lock.remaining).toBeCloseTo(788, 3);
    await clock.advance(100);
    expect(sent('renew')).toBe(0);
  });

  test('several times, and with a wall clock that was set meanwhile', async () => {
    const { locker, clock } = bench();
    const lock = await locker({ ttl: 10_000 }).lock('k', { renew: false });
    clock.suspend(2_000);
    expect(lock.remaining).toBe(7_000);
    await clock.advance(1_000);
    clock.suspend(2_000);
    clock.stepWall(3_600_000);
    expect(lock.remaining).toBe(4_000);
    clock.suspend(3_999);
    lock.assertHeld();
    clock.suspend(1_000);
    expect(lost(lock)?.reason).toBe('expired');
  });

  test('counts no suspension that no boot clock confirms', async () => {
    const inner = virtualClock();
    const clock: Clock = {
      now: () => inner.now(),
      wallNow: () => inner.wallNow(),
      setTimeout: (callback, ms) => inner.setTimeout(callback, ms),
      clearTimeout: (timer) => inner.clearTimeout(timer),
    };
    const locker = createLocker({ clock, store: memoryStore({ clock }) });
    const lock = await locker.lock('k', { renew: false });
    inner.suspend(60_000);
    lock.assertHeld();
    expect(lock.remaining).toBe(9_000);
  });
});

describe('the embedded store', () => {
  /** How long, in ms, a lock of the first locker is in the way of the second, if nobody renews it. */
  async function busyFor(first: Locker, second: Locker, clocks: VirtualClock[]): Promise<number> {
    await first.lock('k', { ttl: 1_000, renew: false });
    let ms = 0;
    for (; (await second.tryLock('k')) === null; ms += 10) {
      for (const clock of clocks) await clock.advance(10);
    }
    return ms;
  }

  test('keeps a lock for its ttl where its clock is not that of the locker', async () => {
    const [mine, theirs] = [virtualClock(), virtualClock()];
    await theirs.advance(60_000);
    const store = memoryStore({ clock: theirs });
    const first = createLocker({ clock: mine, store });
    const second = createLocker({ clock: theirs, store });
    expect(await busyFor(first, second, [mine, theirs])).toBe(1_000);
  });

  test('keeps a lock for its ttl and no longer after the machine was suspended', async () => {
    const clock = virtualClock();
    const store = memoryStore({ clock });
    const [first, second] = [createLocker({ clock, store }), createLocker({ clock, store })];
    const before = await first.lock('j');
    clock.suspend(5_000);
    expect(before.remaining).toBe(4_000);
    expect(await busyFor(first, second, [clock])).toBe(1_000);
  });
});
