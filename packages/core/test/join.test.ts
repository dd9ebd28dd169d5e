import { describe, expect, test } from 'vitest';
import { currentLock, LockReentryError } from '../src/index.ts';
import { bench, rejection } from './kit.ts';

describe("reentry 'join'", () => {
  test('uses the lock that is held: its token and its signal', async () => {
    const { locker, requests, free } = bench();
    const one = locker();
    await one.withLock('k', async (outer) => {
      const before = requests.length;
      for (const join of [
        await one.lock('k', { reentry: 'join' }),
        (await one.tryLock('k', { reentry: 'join' }))!,
        await one.lock('k', { reentry: 'join', wait: 0 }),
        await locker({ name: 'other' }).lock(['k'], { reentry: 'join' }),
      ]) {
        expect(join.fencingToken).toBe(outer.fencingToken);
        expect(join.tokenFor('k')).toBe(outer.fencingToken);
        expect(join.signal).toBe(outer.signal);
        expect([join.key, join.keys, join.owner]).toEqual(['k', ['k'], outer.owner]);
        expect(join.state).toBe('held');
        expect(join.remaining).toBe(outer.remaining);
        join.assertHeld();
        // Its release does nothing.
        expect(await join.release()).toBe(false);
        await join[Symbol.asyncDispose]();
        expect(outer.state).toBe('held');
        expect(outer.signal.aborted).toBe(false);
      }
      expect(requests.length).toBe(before);
      expect(await free('k')).toBe(false);
    });
    expect(await free('k')).toBe(true);
  });

  test('withLock inside runs in the same lock, which stays when it ends', async () => {
    const { locker, free } = bench();
    const one = locker();
    await one.withLock('k', async (outer) => {
      const value = await one.withLock('k', { reentry: 'join' }, (inner) => {
        expect(inner.fencingToken).toBe(outer.fencingToken);
        expect(currentLock()?.fencingToken).toBe(outer.fencingToken);
        return 7;
      });
      const outcome = await one.tryWithLock('k', { reentry: 'join' }, () => 8);
      const failed = rejection(
        one.withLock('k', { reentry: 'join' }, () => Promise.reject(new Error('mine'))),
      );
      expect([value, outcome]).toEqual([7, { acquired: true, value: 8 }]);
      expect(await failed).toMatchObject({ message: 'mine' });
      outer.assertHeld();
      expect(await free('k')).toBe(false);
    });
  });

  test('joins a part of several keys, and needs one lock that covers all', async () => {
    const { locker, free } = bench();
    const one = locker();
    await one.withLock(['a', 'b'], async (outer) => {
      const join = await one.lock('b', { reentry: 'join' });
      expect(join.fencingToken).toBe(outer.tokenFor('b'));
      expect(join.keys).toEqual(['b']);
      expect(() => join.tokenFor('a')).toThrow(/cover/);
      const both = await one.lock(['b', 'a'], { reentry: 'join' });
      expect(both.keys).toEqual(['b', 'a']);
      expect(both.fencingToken).toBe(0);
      expect(both.tokenFor('a')).toBe(outer.tokenFor('a'));
      expect(await rejection(one.lock(['b', 'c'], { reentry: 'join' }))).toBeInstanceOf(
        LockReentryError,
      );
      expect(await one.tryLock(['b', 'c'], { reentry: 'join' })).toBeNull();
      expect(await free('c')).toBe(true);
    });
    await one.withLock('a', () =>
      one.withLock('b', async () => {
        // Held by two locks, of which neither covers both.
        expect(await rejection(one.lock(['a', 'b'], { reentry: 'join' }))).toBeInstanceOf(
          LockReentryError,
        );
        const outermost = await one.lock('a', { reentry: 'join' });
        expect(outermost.keys).toEqual(['a']);
      }),
    );
  });

  test('takes the lock where there is none to join', async () => {
    const { locker, free } = bench();
    const one = locker();
    const lock = await one.lock('k', { reentry: 'join' });
    expect(await one.tryLock('k', { reentry: 'join' })).toBeNull();
    expect(await lock.release()).toBe(true);
    await one.withLock('k', { reentry: 'join' }, async (outer) => {
      await outer.release();
      const own = await one.lock('k', { reentry: 'join' });
      expect(own.fencingToken).toBeGreaterThan(outer.fencingToken);
      await own.release();
    });
    expect(await free('k')).toBe(true);
  });

  test('loses the joined lock when the outer one is lost', async () => {
    const { locker } = bench();
    const one = locker();
    await one.withLock('k', async () => {
      const join = await one.lock('k', { reentry: 'join' });
      await locker().forceRelease('k');
      expect(join.state).toBe('lost');
      expect(join.signal.reason).toMatchObject({ reason: 'forced' });
      expect(() => join.assertHeld()).toThrow(/lost/);
    });
  });
});
