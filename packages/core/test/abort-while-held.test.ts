import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { LockLostError, LockReleasedError } from '../src/index.ts';
import { bench, watch } from './kit.ts';

describe("the caller's own abort while held", () => {
  test('fires the signal with its reason, and ends renewal, but not the lock', async () => {
    const { locker, clock, sent } = bench();
    const controller = new AbortController();
    const lock = await locker().lock('k', { signal: controller.signal, ttl: 3_000 });
    const { signal } = lock;
    await clock.advance(1_500);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBe(reason);
    expect(lock.state).toBe('held');
    lock.assertHeld();
    const before = sent('renew');
    await clock.advance(2_100);
    lock.assertHeld();
    expect(await locker().tryLock('k')).toBeNull();
    // Renewed at 1 000, so lost at 3 700 and over at 4 000.
    await clock.advance(100);
    expect(lock.state).toBe('lost');
    expect(signal.reason).toBe(reason);
    expect(() => lock.assertHeld()).toThrow(LockLostError);
    await clock.advance(300);
    expect(sent('renew')).toBe(before);
    expect(await locker().tryLock('k')).not.toBeNull();
  });

  test('leaves the release to work as ever', async () => {
    const { locker, free } = bench();
    for (const keys of ['k', ['a', 'b']]) {
      const controller = new AbortController();
      const lock = await locker().lock(keys, { signal: controller.signal });
      controller.abort('x');
      expect(await lock.release()).toBe(true);
      // What came first is the reason, also where nobody asked for the signal before.
      expect(lock.signal.reason).toBe('x');
      expect(lock.state).toBe('released');
      expect(() => lock.assertHeld()).toThrow(LockReleasedError);
      expect(await free(lock.key)).toBe(true);
    }
  });

  test('reaches the work of withLock, whose outcome stands', async () => {
    const { locker, free } = bench();
    const controller = new AbortController();
    const { signal } = controller;
    const value = await locker().withLock('k', { signal }, async (lock) => {
      controller.abort('x');
      expect(lock.signal.reason).toBe('x');
      return 42;
    });
    expect(value).toBe(42);
    expect(await free('k')).toBe(true);
  });

  test('does nothing to a lock that is released or lost', async () => {
    const { locker, clock } = bench();
    const controller = new AbortController();
    const { signal } = controller;
    const released = await locker().lock('a', { signal });
    const lost = await locker().lock('b', { signal, renew: false, ttl: 100 });
    await released.release();
    await clock.advance(100);
    controller.abort('x');
    expect(released.signal.reason).toBeInstanceOf(LockReleasedError);
    expect(lost.signal.reason).toBeInstanceOf(LockLostError);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('the signal of a caller stays usable after release, and carries no listeners', async () => {
    const { locker, clock } = bench();
    const { signal } = new AbortController();
    const one = locker();
    for (const keys of ['k', ['a', 'b']]) {
      await (await one.lock(keys, { signal })).release();
      await one.withLock(keys, { signal }, () => {});
      await one.tryLock(keys, { signal }).then((lock) => lock?.release());
      const lock = await one.lock(keys);
      const waiter = watch(one.lock(keys, { signal, wait: 10 }));
      await clock.advance(10);
      expect(waiter.state).toBe('rejected');
      expect(await one.tryLock(keys, { signal })).toBeNull();
      await lock.release();
    }
    await clock.advance(100);
    expect(signal.aborted).toBe(false);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
