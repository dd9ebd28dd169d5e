import { describe, expect, test } from 'vitest';
import { createLocker, LockLostError, memoryStore, type Lock } from '../src/index.ts';

describe('a blocked event loop', () => {
  /** Nothing else runs meanwhile: no timer, no promise. */
  const block = (ms: number): void => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  };

  test('does not hide a loss: the very next statement is right', async () => {
    const locker = createLocker();
    const lock = await locker.lock('k', { ttl: 120 });
    const both = await locker.lock(['a', 'b'], { ttl: 120 });
    block(130);
    expect(() => lock.assertHeld()).toThrow(LockLostError);
    expect(both.state).toBe('lost');
    expect(both.remaining).toBe(0);
    expect([lock.state, lock.remaining]).toEqual(['lost', 0]);
    expect(() => both.assertHeld()).toThrow(/lost/);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    await new Promise((resolve) => {
      setTimeout(resolve, 60);
    });
    // No renewal has brought it back.
    expect(lock.state).toBe('lost');
    expect((await locker.tryLock('k'))?.state).toBe('held');
    await locker.close();
  });

  test('does not hide it from one who asks again', async () => {
    const store = memoryStore();
    const locker = createLocker({ store });
    const lost: Lock[] = [];
    for (const keys of ['k', ['a', 'b']]) lost.push(await locker.lock(keys, { ttl: 100 }));
    block(110);
    const again = [await locker.tryLock('k'), await locker.tryLock(['b', 'a'])];
    expect(again.map((lock) => lock?.state)).toEqual(['held', 'held']);
    for (const lock of lost) {
      expect(lock.state).toBe('lost');
      expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    }
    await locker.close();
  });

  test('frees nothing of the next holder when the release itself was blocked', async () => {
    const store = memoryStore();
    const one = createLocker({ store });
    const lock = await one.lock('k', { ttl: 100 });
    block(110);
    const next = await createLocker({ store }).tryLock('k');
    expect(next?.state).toBe('held');
    expect(await lock.release()).toBe(false);
    next?.assertHeld();
    expect(await next?.release()).toBe(true);
    await one.close();
  });
});
