import { describe, expect, test } from 'vitest';
import {
  createLocker,
  currentLock,
  LockNotAcquiredError,
  LockReentryError,
  memoryStore,
  type Lock,
} from '../src/index.ts';
import { bench, rejection, settled, watch } from './kit.ts';

describe("reentry 'reject', the default", () => {
  test('rejects at once a wait for a lock that encloses the call', async () => {
    const { locker, requests, clock } = bench();
    const one = locker();
    await one.withLock('k', async () => {
      const before = requests.length;
      for (const attempt of [
        one.lock('k'),
        one.lock('k', { wait: 5_000 }),
        one.lock(['k']),
        one.withLock('k', () => {}),
        one.lock('k', { reentry: 'reject' }),
        one.lock(['j', 'k']),
        one.lock(['k', 'j']),
      ]) {
        const error = await rejection(attempt);
        expect(error).toBeInstanceOf(LockReentryError);
        expect(error).toMatchObject({ code: 'LOCK_REENTRY' });
      }
      expect(requests.length).toBe(before);
    });
    expect(clock.now()).toBe(0);
  });

  test('rejects deep inside too, whatever lies between', async () => {
    const { locker } = bench();
    const one = locker();
    await one.withLock('a', () =>
      one.withLock('b', async () => {
        await settled();
        await Promise.resolve().then(async () => {
          expect(await rejection(one.lock('a'))).toBeInstanceOf(LockReentryError);
          expect(await rejection(one.lock('b'))).toBeInstanceOf(LockReentryError);
          await (await one.lock('c')).release();
        });
      }),
    );
  });

  test('any lock of the same store, namespace and key counts, of whatever locker', async () => {
    const { locker, clock, memory } = bench();
    const one = locker();
    const sameStore = locker({ name: 'other', ttl: 5_000 });
    const otherNamespace = locker({ namespace: 'other' });
    const otherStore = createLocker({ store: memoryStore({ clock }), clock });
    expect(memory).toBeDefined();
    await one.withLock('k', async () => {
      expect(await rejection(sameStore.lock('k'))).toBeInstanceOf(LockReentryError);
      await (await otherNamespace.lock('k')).release();
      await (await otherStore.lock('k')).release();
      await (await one.lock('K')).release();
    });
    await sameStore.withLock('k', async () => {
      expect(await rejection(one.lock('k'))).toBeInstanceOf(LockReentryError);
    });
  });

  test('one of several keys that are held counts', async () => {
    const { locker } = bench();
    const one = locker();
    await one.withLock(['a', 'b'], async () => {
      expect(await rejection(one.lock('b'))).toBeInstanceOf(LockReentryError);
      expect(await rejection(one.lock(['b', 'c']))).toBeInstanceOf(LockReentryError);
      await (await one.lock('c')).release();
    });
  });

  test('one attempt finds the key busy, as anyone does', async () => {
    const { locker } = bench();
    const one = locker();
    await one.withLock('k', async () => {
      expect(await one.tryLock('k')).toBeNull();
      expect(await one.tryWithLock('k', () => 1)).toEqual({ acquired: false });
      expect(await rejection(one.lock('k', { wait: 0 }))).toBeInstanceOf(LockNotAcquiredError);
      expect(await one.tryLock(['j', 'k'])).toBeNull();
    });
  });

  test('a lock that was taken by hand is no context: others wait for it', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const lock = await one.lock('k');
    const waiter = watch(one.lock('k'), clock);
    await clock.advance(1_000);
    expect(waiter.state).toBe('pending');
    await lock.release();
    await settled();
    expect(waiter.state).toBe('fulfilled');
  });

  test('a lock that is lost or released encloses nothing', async () => {
    const { locker, clock } = bench();
    const one = locker();
    await one.withLock('k', { ttl: 1_000, renew: false }, async (outer) => {
      await clock.advance(1_000);
      expect(outer.state).toBe('lost');
      const inner = await one.lock('k');
      expect(inner.fencingToken).toBeGreaterThan(outer.fencingToken);
      await inner.release();
    });
    await one.withLock('k', async (outer) => {
      await outer.release();
      await (await one.lock('k')).release();
    });
  });

  test('work that outlives its withLock may ask again', async () => {
    const { locker, clock } = bench();
    const one = locker();
    let later: Promise<Lock> | undefined;
    await one.withLock('k', () => {
      later = settled().then(() => one.lock('k'));
    });
    const lock = watch(later!, clock);
    await settled();
    await settled();
    expect(lock.state).toBe('fulfilled');
    await one.withLock('j', () => {});
  });

  test('work outside, at the same time, waits', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const order: string[] = [];
    const first = one.withLock('k', async () => {
      await settled();
      order.push('first');
    });
    const second = one.withLock('k', () => void order.push('second'));
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second']);
    expect(clock.now()).toBe(0);
  });
});

describe("reentry 'ignore'", () => {
  test('waits like anyone else', async () => {
    const { locker, clock } = bench();
    const one = locker();
    let inherited: Promise<Lock> | undefined;
    await one.withLock('k', async (outer) => {
      const limited = watch(one.lock('k', { reentry: 'ignore', wait: 10 }));
      inherited = one.lock(['k', 'j'], { reentry: 'ignore' });
      const waiter = watch(inherited, clock);
      await clock.advance(1_000);
      expect(limited.reason).toBeInstanceOf(LockNotAcquiredError);
      expect(waiter.state).toBe('pending');
      outer.assertHeld();
      expect(await one.tryLock('k', { reentry: 'ignore' })).toBeNull();
    });
    expect((await inherited)?.state).toBe('held');
  });
});

describe('currentLock', () => {
  test('returns the lock of the innermost withLock of this async context', async () => {
    const { locker } = bench();
    const one = locker();
    expect(currentLock()).toBeUndefined();
    await one.withLock('a', async (a) => {
      expect(currentLock()).toBe(a);
      await one.tryWithLock(['b', 'c'], async (b) => {
        await settled();
        expect(currentLock()).toBe(b);
        expect(currentLock('a')).toBe(a);
        expect(currentLock('c')).toBe(b);
        expect(currentLock('d')).toBeUndefined();
      });
      expect(currentLock()).toBe(a);
      await one.lock('e');
      expect(currentLock()).toBe(a);
    });
    expect(currentLock()).toBeUndefined();
  });

  test('returns no lock of another context, and none that is released', async () => {
    const { locker } = bench();
    const one = locker();
    let later: Promise<Lock | undefined> | undefined;
    const run = one.withLock('a', async () => {
      later = settled().then(() => currentLock());
    });
    expect(currentLock()).toBeUndefined();
    await run;
    expect(await later).toBeUndefined();
  });
});
