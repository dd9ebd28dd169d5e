import { describe, expect, test } from 'vitest';
import { LockReleasedError } from '../src/index.ts';
import { bench, hear, watch } from './kit.ts';

describe('release', () => {
  test('frees the lock, fires the signal, and says so', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    const heard = hear(one, 'released', 'lost');
    const lost: unknown[] = [];
    const lock = await one.lock('k', { onLost: (error) => lost.push(error) });
    const { signal } = lock;
    await clock.advance(70);
    expect(await lock.release()).toBe(true);
    expect(await free('k')).toBe(true);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBeInstanceOf(LockReleasedError);
    expect(signal.reason).toMatchObject({ code: 'LOCK_RELEASED', key: 'k' });
    expect([lock.state, lock.remaining]).toEqual(['released', 0]);
    expect(() => lock.assertHeld()).toThrow(LockReleasedError);
    await expect(lock.extend()).rejects.toBeInstanceOf(LockReleasedError);
    const { owner, fencingToken } = lock;
    expect(heard).toMatchObject([
      { event: 'released', key: 'k', keys: ['k'], heldFor: 70, owner, fencingToken },
    ]);
    expect(lost).toEqual([]);
  });

  test('may be called any number of times; the first one freed it', async () => {
    const { locker, free, sent } = bench();
    const lock = await locker().lock('k');
    const answers = await Promise.all([lock.release(), lock.release(), lock.release()]);
    expect(answers).toEqual([true, false, false]);
    expect(await lock.release()).toBe(false);
    await lock[Symbol.asyncDispose]();
    expect(sent('release')).toBe(1);
    const next = await locker().lock('k');
    expect(await lock.release()).toBe(false);
    expect(await free('k')).toBe(false);
    next.assertHeld();
  });

  test('runs at the end of an `await using`', async () => {
    const { locker, free } = bench();
    {
      await using lock = await locker().lock('k');
      lock.assertHeld();
      expect(await free('k')).toBe(false);
    }
    expect(await free('k')).toBe(true);
  });

  test('has an effect at once for those who look at the handle', async () => {
    const { locker, clock, faults } = bench();
    faults.delay(500, { verb: 'release' });
    const lock = await locker().lock('k');
    const released = lock.release();
    expect(lock.state).toBe('released');
    expect(lock.signal.aborted).toBe(true);
    await clock.advance(500);
    expect(await released).toBe(true);
  });

  test('works whatever the caller has cancelled', async () => {
    const { locker, free } = bench();
    const controller = new AbortController();
    const lock = await locker().lock('k', { signal: controller.signal });
    controller.abort();
    expect(await lock.release()).toBe(true);
    expect(await free('k')).toBe(true);
  });
});

describe('a release that the store does not confirm', () => {
  test('settles within a second, and goes on in the background', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker();
    for (const fault of ['fail', 'dropRequest'] as const) {
      const start = clock.now();
      const lock = await one.lock('k', { ttl: 60_000 });
      faults[fault]({ verb: 'release', times: Infinity });
      const released = watch(lock.release(), clock);
      const again = watch(lock.release(), clock);
      await clock.advance(999);
      expect(released.state).toBe('pending');
      await clock.advance(1);
      expect(released).toMatchObject({ state: 'fulfilled', value: false, at: start + 1_000 });
      expect(again.value).toBe(false);
      expect(lock.state).toBe('released');
      await clock.advance(10_000);
      expect(await free('k')).toBe(false);
      faults.heal();
      await clock.advance(3_000);
      expect(await free('k')).toBe(true);
      await clock.advance(20_000);
      expect(clock.timers).toBe(0);
    }
  });

  test('ends when the lease is over', async () => {
    const { locker, clock, faults, sent } = bench();
    const lock = await locker().lock('k', { ttl: 3_000 });
    faults.fail({ verb: 'release', times: Infinity });
    void lock.release();
    await clock.advance(3_100);
    const before = sent('release');
    expect(before).toBeLessThan(20);
    await clock.advance(60_000);
    expect(sent('release')).toBe(before);
    expect(clock.timers).toBe(0);
  });

  test('counts as confirmed when its second try succeeds', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker().lock('k');
    faults.fail({ verb: 'release', times: 2 });
    const released = watch(lock.release(), clock);
    await clock.advance(500);
    expect(released.value).toBe(true);
  });

  test('lets the result of withLock through within a second', async () => {
    const { locker, clock, faults, free } = bench();
    const mine = new Error('mine');
    faults.dropRequest({ verb: 'release', times: 2 });
    const runs = [
      watch(
        locker().withLock('a', () => 42),
        clock,
      ),
      watch(
        locker().withLock('b', () => Promise.reject(mine)),
        clock,
      ),
    ];
    await clock.advance(1_000);
    expect(runs[0]).toMatchObject({ value: 42, at: 1_000 });
    expect(runs[1]).toMatchObject({ reason: mine, at: 1_000 });
    await clock.advance(2_000);
    expect(await free('a')).toBe(true);
    expect(await free('b')).toBe(true);
  });

  test('goes on for as long as an extension whose reply was lost', async () => {
    const { locker, clock, faults, free, sent } = bench();
    const lock = await locker({ storeTimeout: 200 }).lock('k', { ttl: 1_000 });
    faults.dropReply({ verb: 'renew' });
    const extended = watch(lock.extend(60_000), clock);
    await clock.advance(200);
    expect(extended.state).toBe('rejected');
    // A shorter renewal comes through: that does not take the longer lease away.
    await clock.advance(200);
    expect(sent('renew')).toBe(2);
    lock.assertHeld();
    faults.fail({ verb: 'release', times: Infinity });
    void lock.release();
    await clock.advance(10_000);
    expect(await free('k')).toBe(false);
    faults.heal();
    await clock.advance(2_000);
    expect(await free('k')).toBe(true);
  });

  test('cleans a lost lock up for as long as an extension whose reply was lost', async () => {
    const { locker, clock, faults, free } = bench();
    const lock = await locker({ storeTimeout: 200 }).lock('k', { ttl: 1_000 });
    faults.dropReply({ verb: 'renew' });
    void lock.extend(60_000).catch(() => {});
    await clock.advance(200);
    faults.fail({ times: Infinity });
    await clock.advance(10_000);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    const released = watch(lock.release(), clock);
    await clock.advance(1_000);
    expect(released.value).toBe(false);
    faults.heal();
    await clock.advance(2_000);
    expect(await free('k')).toBe(true);
  });
});
