import { describe, expect, test } from 'vitest';
import {
  LockNotAcquiredError,
  LockReleasedError,
  storedKey,
  type AcquireRequest,
  type Lock,
} from '../src/index.ts';
import { bench, hear, seededRandom, settled, variant, watch } from './kit.ts';

describe('a lock of several keys', () => {
  test('gives one handle for all keys, as the caller named them', async () => {
    const { locker, free } = bench();
    const lock = await locker().lock(['b', 'a', 'b', 'c', 'a']);
    expect(lock.keys).toEqual(['b', 'a', 'c']);
    expect(lock.key).toBe('b');
    expect(lock.fencingToken).toBe(0);
    for (const key of lock.keys) {
      expect(lock.tokenFor(key)).toBeGreaterThan(0);
      expect(Number.isSafeInteger(lock.tokenFor(key))).toBe(true);
      expect(await free(key)).toBe(false);
    }
    expect(await lock.release()).toBe(true);
    expect(lock.state).toBe('released');
    expect(lock.signal.reason).toBeInstanceOf(LockReleasedError);
    for (const key of lock.keys) expect(await free(key)).toBe(true);
    expect(await lock.release()).toBe(false);
  });

  test('takes a list of one key, or of one key twice, as that key', async () => {
    const { locker } = bench();
    for (const keys of [['k'], ['k', 'k']]) {
      const lock = await locker().lock(keys);
      expect(lock.keys).toEqual(['k']);
      expect(lock.fencingToken).toBeGreaterThan(0);
      expect(lock.tokenFor('k')).toBe(lock.fencingToken);
      await lock.release();
    }
    const one = await locker().lock('k');
    expect(one.tokenFor('k')).toBe(one.fencingToken);
  });

  test('locks each key of a list, not a path', async () => {
    const { locker } = bench();
    await locker().lock(['a', 'b']);
    expect(await locker().tryLock('a')).toBeNull();
    expect(await locker().tryLock('b')).toBeNull();
    expect(await locker().tryLock('a:b')).not.toBeNull();
    expect(await locker().tryLock('a/b')).not.toBeNull();
  });

  test('does not notice what becomes of the list afterwards', async () => {
    const { locker, clock } = bench();
    const first = await locker().lock('b');
    const keys = ['a', 'b'];
    const waiter = watch(locker().lock(keys), clock);
    keys.push('c');
    keys[0] = 'd';
    await first.release();
    await settled();
    expect(waiter.value?.keys).toEqual(['a', 'b']);
  });
});

describe('keys are taken', () => {
  test('takes keys in the order of the bytes of their stored keys, whatever the caller wrote', async () => {
    const { locker, requests } = bench((store) =>
      variant(store, { encodeKey: undefined as never }),
    );
    const names = ['b', 'a', 'B', 'é', '😀', '\uffff', 'a:b', 'a b', '~', 'Z'];
    await locker().lock(names);
    const asked = requests.map(({ args }) => (args[0] as AcquireRequest).key);
    const bytewise = names
      .map((name) => storedKey('holdfast', name))
      .toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
    expect(asked).toEqual(bytewise);
  });

  test('all or none: one attempt gives back what it got', async () => {
    const { locker, free } = bench();
    await locker().lock('b');
    expect(await locker().tryLock(['a', 'b', 'c'])).toBeNull();
    expect(await free('a')).toBe(true);
    expect(await free('c')).toBe(true);
  });

  test('all or none: at the limit all is given back, at once', async () => {
    const { locker, clock, free } = bench();
    await locker().lock('b');
    const waiter = watch(locker().lock(['a', 'b', 'c'], { wait: 500 }), clock);
    await clock.advance(499);
    expect(await free('a')).toBe(false);
    await clock.advance(1);
    expect(waiter.reason).toBeInstanceOf(LockNotAcquiredError);
    expect(waiter.reason).toMatchObject({ key: 'a', waited: 500 });
    expect(await free('a')).toBe(true);
    expect(await free('c')).toBe(true);
  });

  test('takes crossing lists without deadlock', async () => {
    const random = seededRandom(5);
    const { locker, clock, free } = bench();
    const lockers = [locker(), locker(), locker({ handoff: false })];
    const names = ['a', 'b', 'c', 'd'];
    const inside = new Map<string, Lock>();
    let done = 0;
    const work = async (lock: Lock): Promise<void> => {
      for (const key of lock.keys) {
        expect(inside.get(key)).toBeUndefined();
        inside.set(key, lock);
      }
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 1 + random() * 20));
      lock.assertHeld();
      for (const key of lock.keys) inside.delete(key);
      done += 1;
    };
    const all = Array.from({ length: 150 }, (_, index) => {
      const keys = names.filter(() => random() < 0.5).toSorted(() => random() - 0.5);
      const one = lockers[index % 3]!;
      return watch(one.withLock(keys.length === 0 ? 'a' : keys, work), clock);
    });
    await clock.advance(20_000);
    expect(all.filter(({ state }) => state !== 'fulfilled')).toEqual([]);
    expect(done).toBe(150);
    for (const key of names) expect(await free(key)).toBe(true);
  });
});

describe('keys taken already', () => {
  test('renews keys already taken while later ones are awaited, so that the handle is fresh', async () => {
    const { locker, clock, free } = bench();
    const holder = await locker().lock('c');
    const waiter = watch(locker({ ttl: 1_000 }).lock(['a', 'b', 'c']), clock);
    for (let i = 0; i < 100; i++) {
      await clock.advance(97);
      expect(await free('a')).toBe(false);
      expect(await free('b')).toBe(false);
      expect(waiter.state).toBe('pending');
    }
    await holder.release();
    await clock.advance(1);
    expect(waiter.value?.remaining).toBeGreaterThanOrEqual(450);
    await waiter.value?.release();
  });

  test('renews keys already taken even if the lock itself will not be renewed', async () => {
    const { locker, clock, free } = bench();
    const holder = await locker().lock('b');
    const waiter = watch(locker({ ttl: 1_000 }).lock(['a', 'b'], { renew: false }), clock);
    const other = watch(locker().lock('a'), clock);
    await clock.advance(5_000);
    expect(await free('a')).toBe(false);
    expect(other.state).toBe('pending');
    await holder.release();
    await clock.advance(1);
    const lock = waiter.value!;
    expect(lock.remaining).toBeGreaterThanOrEqual(450);
    await clock.advance(900);
    expect(lock.state).toBe('lost');
  });

  test('starts again, with larger tokens, when a key already taken is lost', async () => {
    const { locker, clock, faults, free } = bench();
    const holder = await locker().lock('b');
    const one = locker({ ttl: 1_000 });
    const heard = hear(one, 'lost');
    const waiter = watch(one.lock(['a', 'b']), clock);
    await clock.advance(100);
    expect(await faults.evict('a')).toBe(true);
    const thief = await locker().tryLock('a');
    expect(thief?.state).toBe('held');
    await clock.advance(1_000);
    await holder.release();
    await clock.advance(1_000);
    // All was given back while the thief has one of them.
    expect(waiter.state).toBe('pending');
    expect(await free('b')).toBe(true);
    const { fencingToken } = thief!;
    await thief?.release();
    await clock.advance(2_000);
    expect(waiter.value?.state).toBe('held');
    expect(waiter.value?.tokenFor('a')).toBeGreaterThan(fencingToken);
    // Nobody had the lock yet, so nobody lost it.
    expect(heard).toEqual([]);
    await waiter.value?.release();
    expect(await free('a')).toBe(true);
  });
});
