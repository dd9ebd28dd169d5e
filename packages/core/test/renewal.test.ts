import { describe, expect, test } from 'vitest';
import type { Lock, RenewRequest } from '../src/index.ts';
import { bench, hear, type Bench } from './kit.ts';

function renewals({ requests }: Bench): { at: number; size: number }[] {
  return requests
    .filter(({ verb }) => verb === 'renew')
    .map(({ at, args }) => ({ at, size: (args[0] as readonly RenewRequest[]).length }));
}

describe('a lock is renewed', () => {
  test('every third of its ttl, until it is released', async () => {
    const world = bench();
    const { locker, clock } = world;
    const lock = await locker().lock('k', { ttl: 3_000 });
    await clock.advance(3_500);
    expect(renewals(world)).toEqual([1_000, 2_000, 3_000].map((at) => ({ at, size: 1 })));
    expect(lock.remaining).toBe(2_700 - 500);
    await lock.release();
    await clock.advance(10_000);
    expect(renewals(world)).toHaveLength(3);
    expect(clock.timers).toBe(0);
  });

  test('emits an event for each renewal', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const heard = hear(one, 'renewed');
    const lock = await one.lock('k', { ttl: 300 });
    await clock.advance(350);
    const { owner, fencingToken, label } = lock;
    const expected = { event: 'renewed', key: 'k', keys: ['k'], owner, fencingToken, label };
    expect(heard).toMatchObject([expected, expected, expected]);
    const both = locker();
    const heardBoth = hear(both, 'renewed');
    await both.lock(['a', 'b'], { ttl: 300 });
    await clock.advance(100);
    expect(heardBoth).toMatchObject([{ keys: ['a', 'b'], fencingToken: 0 }]);
  });

  test('keeps its token, its owner and its handle when it is renewed', async () => {
    const { locker, clock } = bench();
    const lock = await locker().lock('k', { ttl: 100 });
    const { fencingToken, owner, signal } = lock;
    await clock.advance(5_000);
    expect([lock.fencingToken, lock.owner, lock.signal]).toEqual([fencingToken, owner, signal]);
    expect(signal.aborted).toBe(false);
    expect(await locker().inspect('k')).toMatchObject({ owner, fencingToken });
  });

  test('sends no renewal when renew is false', async () => {
    const world = bench();
    const { locker, clock } = world;
    const lock = await locker().lock('k', { ttl: 1_000, renew: false });
    await clock.advance(5_000);
    expect(renewals(world)).toEqual([]);
    expect(lock.state).toBe('lost');
    expect(clock.timers).toBe(0);
  });
});

describe('all locks of a locker', () => {
  test('need one timer and one request, whatever their number', async () => {
    const world = bench();
    const { locker, clock } = world;
    const one = locker({ ttl: 1_200 });
    for (let i = 0; i < 500; i++) await one.lock(`k${i}`);
    expect(clock.timers).toBe(1);
    await clock.advance(4_000);
    expect(renewals(world)).toEqual(
      [400, 800, 1_200, 1_600, 2_000, 2_400, 2_800, 3_200, 3_600, 4_000].map((at) => ({
        at,
        size: 500,
      })),
    );
    expect(clock.timers).toBe(1);
  });

  test('fall together soon, though they were taken at different times', async () => {
    const world = bench();
    const { locker, clock } = world;
    const one = locker({ ttl: 3_000 });
    const locks: Lock[] = [];
    for (let i = 0; i < 100; i++) {
      locks.push(await one.lock(`k${i}`));
      await clock.advance(7);
    }
    await clock.advance(2_300);
    const before = renewals(world).length;
    await clock.advance(10_000);
    // Ten a lock, and few requests for all of them.
    const later = renewals(world).slice(before);
    expect(later.length).toBeLessThanOrEqual(42);
    expect(later.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(100 * 13);
    for (const lock of locks) lock.assertHeld();
  });

  test('renews locks of different ttls in one request', async () => {
    const world = bench();
    const { locker, clock } = world;
    const one = locker();
    for (const ttl of [300, 600, 1_200, 2_400, 10_000]) await one.lock(`k${ttl}`, { ttl });
    await clock.advance(30_000);
    const times = renewals(world).map(({ at }) => at);
    expect(new Set(times).size).toBe(times.length);
  });
});

describe('an error is not a loss', () => {
  test('it is tried again, at most once per ttl / 20, and the lock stays', async () => {
    const world = bench();
    const { locker, clock, faults } = world;
    const one = locker();
    const heard = hear(one, 'lost');
    const lock = await one.lock('k', { ttl: 6_000 });
    faults.fail({ verb: 'renew', times: 5 });
    await clock.advance(18_000);
    lock.assertHeld();
    expect(heard).toEqual([]);
    expect(
      renewals(world)
        .slice(0, 7)
        .map(({ at }) => at),
    ).toEqual([2_000, 2_300, 2_600, 2_900, 3_200, 3_500, 5_500]);
  });

  test('retries a failed renewal at most every 50 ms', async () => {
    const world = bench();
    const { locker, clock, faults } = world;
    const lock = await locker().lock('k', { ttl: 300 });
    faults.fail({ verb: 'renew', times: Infinity });
    await clock.advance(250);
    expect(renewals(world).map(({ at }) => at)).toEqual([100, 150, 200]);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    await clock.advance(5_000);
    expect(renewals(world)).toHaveLength(3);
  });

  test('retries a renewal when the reply never arrives', async () => {
    const { locker, clock, faults } = bench();
    for (const fault of ['dropReply', 'dropRequest', 'failAfter'] as const) {
      const lock = await locker().lock(fault, { ttl: 2_000 });
      faults[fault]({ verb: 'renew' });
      await clock.advance(20_000);
      lock.assertHeld();
    }
  });

  test('uses a reply that arrives after its time-out', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker({ storeTimeout: 100 }).lock('k', { ttl: 3_000 });
    faults.delay(1_500, { verb: 'renew', times: Infinity });
    for (let i = 0; i < 100; i++) {
      await clock.advance(100);
      lock.assertHeld();
    }
  });

  test('loses the lock as expired at the signal point, not before', async () => {
    const { locker, clock, faults } = bench();
    for (const fault of ['fail', 'dropRequest', 'dropReply'] as const) {
      const start = clock.now();
      const lock = await locker().lock(fault, { ttl: 3_000 });
      await clock.advance(1_500);
      // Renewed last at 1 000, and never again.
      faults[fault]({ times: Infinity });
      await clock.advance(2_199);
      lock.assertHeld();
      expect(lock.signal.aborted).toBe(false);
      await clock.advance(1);
      expect(lock.signal.aborted).toBe(true);
      expect(lock.signal.reason).toMatchObject({ reason: 'expired', heldFor: 3_700 });
      expect(clock.now() - start).toBe(3_700);
      faults.heal();
      await clock.advance(10_000);
      expect(lock.state).toBe('lost');
      expect((await locker().tryLock(fault))?.state).toBe('held');
    }
  });
});
