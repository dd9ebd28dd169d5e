import { describe, expect, test } from 'vitest';
import { LockerClosedError, LockReleasedError } from '../src/index.ts';
import { bench, rejection, settled, watch } from './kit.ts';

describe('drain', () => {
  test('gives holders time to finish, and renews for them', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    const lock = await one.lock('k', { ttl: 300 });
    const closed = watch(one.close({ drain: 5_000 }), clock);
    expect(await rejection(one.tryLock('j'))).toBeInstanceOf(LockerClosedError);
    await clock.advance(2_000);
    expect(closed.state).toBe('pending');
    lock.assertHeld();
    expect(lock.signal.aborted).toBe(false);
    await lock.extend();
    expect(await lock.release()).toBe(true);
    await settled();
    expect(lock.signal.reason).toBeInstanceOf(LockReleasedError);
    expect(closed).toMatchObject({ state: 'fulfilled', at: 2_000 });
    expect(await free('k')).toBe(true);
    expect(clock.timers).toBe(0);
  });

  test('ends when all is released, of callbacks too', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const run = one.withLock('k', async (lock) => {
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 700));
      lock.assertHeld();
      return 'done';
    });
    const byHand = await one.lock(['a', 'b']);
    clock.setTimeout(() => void byHand.release(), 900);
    const closed = watch(one.close({ drain: 60_000 }), clock);
    await clock.advance(899);
    expect(closed.state).toBe('pending');
    await clock.advance(1);
    expect(closed).toMatchObject({ state: 'fulfilled', at: 900 });
    expect(await run).toBe('done');
  });

  test('rejects those who wait at once', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const lock = await one.lock('k');
    const waiter = watch(one.lock('k'), clock);
    void one.close({ drain: 5_000 });
    await settled();
    expect(waiter.reason).toBeInstanceOf(LockerClosedError);
    lock.assertHeld();
    // It is not handed to them either.
    expect(await lock.release()).toBe(true);
    expect(await locker().tryLock('k')).not.toBeNull();
  });

  test('ends after its time even if locks are still held', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    const lock = await one.lock('k', { ttl: 300 });
    const closed = watch(one.close({ drain: 1_000 }), clock);
    await clock.advance(999);
    expect([lock.state, closed.state]).toEqual(['held', 'pending']);
    await clock.advance(1);
    expect(lock.signal.reason).toMatchObject({ reason: 'closed', heldFor: 1_000 });
    expect(closed).toMatchObject({ state: 'fulfilled', at: 1_000 });
    expect(await free('k')).toBe(true);
  });

  test.each([2 ** 31 + 10, Infinity])('may last %d ms', async (drain) => {
    const { locker, clock } = bench();
    const one = locker();
    const lock = await one.lock('k', { ttl: 86_400_000 });
    const closed = watch(one.close({ drain }), clock);
    await clock.advance(1_000_000);
    expect(closed.state).toBe('pending');
    await lock.release();
    await settled();
    expect(closed.state).toBe('fulfilled');
  });
});
