import { describe, expect, test } from 'vitest';
import { createLocker, LockError, LockLostError, type LockOptions } from '../src/index.ts';
import { bench, hear, settled, watch, type Bench } from './kit.ts';

/** How a lock is lost, and how its holder learns of it. */
const losses: [string, LockOptions, (bench: Bench) => Promise<unknown>, number][] = [
  ['expired', { renew: false }, async ({ clock }) => clock.advance(900), 900],
  ['stolen', {}, async ({ faults }) => faults.steal('k'), 334],
  ['evicted', {}, async ({ faults }) => faults.evict('k'), 334],
  [
    'superseded',
    { owner: 'o' },
    async ({ locker }) => locker().lock('k', { owner: 'o', reentry: 'ignore' }),
    0,
  ],
  ['forced', {}, async ({ locker }) => locker().forceRelease('k'), 0],
  ['max-hold', { maxHold: 500 }, async ({ clock }) => clock.advance(500), 500],
];

describe('a lock that is', () => {
  for (const [reason, options, lose, within] of losses) {
    test(`${reason} is lost, and everybody is told`, async () => {
      const world = bench();
      const { locker, clock } = world;
      const one = locker();
      const heard = hear(one, 'lost', 'released');
      const told: LockLostError[] = [];
      const onLost = (error: LockLostError): void => void told.push(error);
      const lock = await one.lock('k', { ...options, ttl: 1_000, onLost });
      let fired: unknown;
      lock.signal.addEventListener('abort', () => (fired = lock.signal.reason));
      await lose(world);
      await clock.advance(within - clock.now());
      expect(fired).toBeInstanceOf(LockLostError);
      expect(fired).toBeInstanceOf(LockError);
      expect(fired).toMatchObject({ code: 'LOCK_LOST', reason, key: 'k', name: 'LockLostError' });
      expect((fired as LockLostError).heldFor).toBeLessThanOrEqual(within);
      expect(lock.signal.reason).toBe(fired);
      expect(told).toEqual([fired]);
      expect(lock.state).toBe('lost');
      expect(lock.remaining).toBe(0);
      expect(() => lock.assertHeld()).toThrow(fired);
      await expect(lock.extend()).rejects.toBe(fired);
      const { owner, fencingToken } = lock;
      expect(heard).toMatchObject([
        { event: 'lost', key: 'k', keys: ['k'], reason, owner, fencingToken },
      ]);
      expect((heard[0] as { heldFor?: number }).heldFor).toBe((fired as LockLostError).heldFor);
      expect(await lock.release()).toBe(false);
      expect(await lock.release()).toBe(false);
      expect([lock.state, lock.signal.reason, told.length]).toEqual(['lost', fired, 1]);
      expect(heard).toHaveLength(1);
    });

    test(`${reason}: its work keeps its outcome`, async () => {
      const world = bench();
      const { locker, clock } = world;
      const mine = new TypeError('mine');
      for (const outcome of ['value', 'error'] as const) {
        let go = (): void => {};
        const gate = new Promise<void>((resolve) => (go = resolve));
        const run = watch(
          locker().withLock('k', { ...options, ttl: 1_000 }, async (lock) => {
            await gate;
            expect(lock.state).toBe('lost');
            if (outcome === 'error') throw mine;
            return 42;
          }),
        );
        await lose(world);
        await clock.advance(within);
        go();
        await settled();
        expect([run.value, run.reason]).toEqual(
          outcome === 'error' ? [undefined, mine] : [42, undefined],
        );
        await locker().forceRelease('k');
        await clock.advance(10_000);
      }
    });
  }
});

describe('the handle of a lost lock', () => {
  test('never frees the lock of the next holder', async () => {
    for (const [, options, lose, within] of losses) {
      const world = bench();
      const { locker, clock, free } = world;
      const one = locker();
      const lock = await one.lock('k', { ...options, ttl: 1_000 });
      await lose(world);
      await clock.advance(within);
      await clock.advance(11_000);
      await locker().forceRelease('k');
      const next = await one.lock('k');
      expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
      expect(await lock.release()).toBe(false);
      await lock[Symbol.asyncDispose]();
      expect(await free('k')).toBe(false);
      next.assertHeld();
      expect(await next.release()).toBe(true);
    }
  });

  test('still frees what is ours, and answers false', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock('k', { ttl: 10_000, renew: false });
    await clock.advance(9_000);
    expect(lock.state).toBe('lost');
    expect(await free('k')).toBe(false);
    expect(await lock.release()).toBe(false);
    expect(await free('k')).toBe(true);
  });

  test('cannot be revived: not by extending, not by time', async () => {
    const { locker, clock, sent } = bench();
    const lock = await locker().lock('k', { ttl: 1_000, renew: false });
    await clock.advance(950);
    const before = sent();
    await expect(lock.extend(5_000)).rejects.toBeInstanceOf(LockLostError);
    expect(sent()).toBe(before);
    await clock.advance(50);
    expect(await locker().tryLock('k')).not.toBeNull();
  });
});

describe('a vanished lock is never taken again', () => {
  test('leaves a vanished lock free when its renewal is due', async () => {
    const { locker, clock, faults, free } = bench();
    const lock = await locker().lock('k', { ttl: 300 });
    await faults.forgetEverything();
    await clock.advance(100);
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
    expect(await free('k')).toBe(true);
    await clock.advance(1_000);
    expect(await free('k')).toBe(true);
  });

  test('leaves a vanished lock free when it is extended', async () => {
    const { locker, faults, free } = bench();
    const lock = await locker().lock('k');
    await faults.evict('k');
    await expect(lock.extend()).rejects.toMatchObject({ code: 'LOCK_LOST', reason: 'evicted' });
    expect(await free('k')).toBe(true);
  });

  test('notices somebody who came and went in between', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker().lock('k', { ttl: 3_000 });
    await faults.evict('k');
    const other = await locker().lock('k');
    expect(other.fencingToken).toBeGreaterThan(lock.fencingToken);
    await other.release();
    await clock.advance(1_000);
    expect(lock.state).toBe('lost');
  });
});

describe('the signal', () => {
  test('fires at the signal point whether or not the store answers, and before anyone is next', async () => {
    for (const renew of [true, false]) {
      for (const fault of ['fail', 'dropRequest', 'dropReply'] as const) {
        const { locker, clock, faults, memory } = bench();
        const lock = await locker().lock('k', { ttl: 1_000, renew });
        const healthy = createLocker({ store: memory, clock });
        const next = watch(healthy.lock('k'), clock);
        let firedAt = Infinity;
        lock.signal.addEventListener('abort', () => (firedAt = clock.now()));
        faults[fault]({ times: Infinity });
        await clock.advance(5_000);
        expect(next.state).toBe('fulfilled');
        expect(firedAt).toBeLessThan(next.at!);
        // A reply that never came may have prolonged the lease for the store, not for us.
        expect(firedAt).toBe(900);
      }
    }
  });

  test('fires once, and not again at a release', async () => {
    const { locker, clock } = bench();
    const lock = await locker().lock('k', { ttl: 100, renew: false });
    let fired = 0;
    lock.signal.addEventListener('abort', () => (fired += 1));
    await clock.advance(1_000);
    await lock.release();
    expect(fired).toBe(1);
  });

  test('returns one object, however often it is read', async () => {
    const { locker, clock } = bench();
    const early = await locker().lock('a', { ttl: 100, renew: false });
    const late = await locker().lock('b', { ttl: 100, renew: false });
    const { signal } = early;
    expect(early.signal).toBe(signal);
    await clock.advance(100);
    expect(early.signal).toBe(signal);
    expect(late.signal.aborted).toBe(true);
    expect(late.signal.reason).toMatchObject({ reason: 'expired' });
    expect(late.signal).toBe(late.signal);
  });
});
