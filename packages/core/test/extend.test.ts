import { describe, expect, test } from 'vitest';
import { LockArgumentError, LockStoreError, type RenewRequest } from '../src/index.ts';
import { bench, watch } from './kit.ts';

describe('extend', () => {
  test('renews now', async () => {
    const { locker, clock, sent } = bench();
    const lock = await locker().lock('k', { ttl: 3_000, renew: false });
    await clock.advance(700);
    expect(lock.remaining).toBe(2_000);
    await lock.extend();
    expect(lock.remaining).toBe(2_700);
    expect(sent('renew')).toBe(1);
    await clock.advance(2_699);
    lock.assertHeld();
    await clock.advance(1);
    expect(lock.state).toBe('lost');
  });

  test('sets the ttl of this and of later renewals', async () => {
    const { locker, clock, requests } = bench();
    const lock = await locker().lock('k', { ttl: 300 });
    await lock.extend(6_000);
    expect(lock.remaining).toBe(5_400);
    await clock.advance(20_000);
    const renewals = requests.filter(({ verb }) => verb === 'renew');
    expect(renewals.map(({ at }) => at)).toEqual([
      0, 2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 14_000, 16_000, 18_000, 20_000,
    ]);
    for (const { args } of renewals) {
      expect((args[0] as readonly RenewRequest[])[0]?.ttl).toBe(6_000);
    }
    lock.assertHeld();
  });

  test('never shortens', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock('k', { ttl: 10_000, renew: false });
    await clock.advance(1_000);
    await lock.extend(1_000);
    // It ends when it would have ended, less the margin of its new ttl.
    expect(lock.remaining).toBeGreaterThanOrEqual(8_000);
    await clock.advance(7_999);
    lock.assertHeld();
    await clock.advance(2_000);
    expect(lock.state).toBe('lost');
    expect(await free('k')).toBe(true);
  });

  test('uses the shorter ttl for what is renewed later', async () => {
    const { locker, clock, faults, free } = bench();
    const lock = await locker().lock('k', { ttl: 10_000 });
    await lock.extend(1_000);
    await clock.advance(30_000);
    lock.assertHeld();
    expect(lock.remaining).toBeLessThanOrEqual(900);
    faults.fail({ times: Infinity });
    await clock.advance(1_000);
    expect(lock.state).toBe('lost');
    expect(await free('k')).toBe(true);
  });

  test('rejects while the store fails, and the lock stays until its signal point', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker().lock('k', { ttl: 3_000, renew: false });
    faults.fail({ verb: 'renew', error: new Error('ECONNRESET') });
    const error = await lock.extend(9_000).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LockStoreError);
    expect(error).toMatchObject({ phase: 'renew', key: 'k', cause: { message: 'ECONNRESET' } });
    lock.assertHeld();
    expect(lock.remaining).toBe(2_700);
    await clock.advance(2_700);
    expect(lock.state).toBe('lost');
  });

  test('rejects when the store does not answer, bounded by storeTimeout', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker({ storeTimeout: 250 }).lock('k', { ttl: 3_000 });
    faults.dropRequest({ verb: 'renew' });
    const extended = watch(lock.extend(), clock);
    await clock.advance(249);
    expect(extended.state).toBe('pending');
    await clock.advance(1);
    expect(extended.reason).toBeInstanceOf(LockStoreError);
    lock.assertHeld();
  });

  test.each(['fail', 'failAfter', 'dropReply', 'dropRequest'] as const)(
    'keeps renewing after an unconfirmed extension to far more (%s)',
    async (fault) => {
      const { locker, clock, faults } = bench();
      const one = locker();
      const locks = [
        await one.lock('a', { ttl: 1_000 }),
        await one.lock(['b', 'c'], { ttl: 1_000 }),
      ];
      for (const lock of locks) {
        faults[fault]({ verb: 'renew' });
        void lock.extend(60_000).catch(() => {});
      }
      await clock.advance(10_000);
      for (const lock of locks) {
        lock.assertHeld();
        expect(lock.remaining).toBeLessThanOrEqual(900);
      }
    },
  );

  test('rejects when one of several keys is not confirmed', async () => {
    const { locker, faults } = bench();
    const lock = await locker().lock(['a', 'b'], { renew: false });
    faults.fail({ verb: 'renew' });
    await expect(lock.extend(20_000)).rejects.toBeInstanceOf(LockStoreError);
    lock.assertHeld();
    await lock.extend(20_000);
    expect(lock.remaining).toBe(18_000);
    await faults.evict('b');
    await expect(lock.extend()).rejects.toMatchObject({ code: 'LOCK_LOST', reason: 'evicted' });
    expect(lock.state).toBe('lost');
  });

  test('rejects a ttl that is too short for the margin as an argument error', async () => {
    const { locker } = bench();
    const lock = await locker({ safetyMargin: 1_000 }).lock('k');
    await expect(lock.extend(2_999)).rejects.toBeInstanceOf(LockArgumentError);
    await lock.extend(3_000);
    lock.assertHeld();
  });

  test('does not outlive maxHold', async () => {
    const { locker, clock } = bench();
    const lock = await locker().lock('k', { ttl: 1_000, maxHold: 1_500 });
    await clock.advance(500);
    await lock.extend(60_000);
    await clock.advance(999);
    lock.assertHeld();
    await clock.advance(1);
    expect(lock.signal.reason).toMatchObject({ reason: 'max-hold', heldFor: 1_500 });
  });
});

describe('maxHold', () => {
  test('ends renewal, fires the signal, and leaves the lease as grace', async () => {
    const { locker, clock, free, sent } = bench();
    const lock = await locker({ maxHold: 10_000 }).lock('k', { ttl: 3_000 });
    await clock.advance(9_999);
    lock.assertHeld();
    await clock.advance(1);
    expect(lock.signal.reason).toMatchObject({ reason: 'max-hold', heldFor: 10_000 });
    expect(lock.state).toBe('lost');
    const before = sent('renew');
    // Renewed last at 9 000.
    await clock.advance(1_999);
    expect(await free('k')).toBe(false);
    await clock.advance(1);
    expect(await free('k')).toBe(true);
    expect(sent('renew')).toBe(before);
  });

  test('counts from the grant, not from the wait', async () => {
    const { locker, clock } = bench();
    const first = await locker().lock('k');
    const waiter = watch(locker().lock('k', { maxHold: 1_000 }), clock);
    await clock.advance(5_000);
    await first.release();
    await clock.advance(999);
    expect(waiter.value?.state).toBe('held');
    await clock.advance(1);
    expect(waiter.value?.signal.reason).toMatchObject({ reason: 'max-hold' });
  });

  test('counts anew for each holder when the lock is handed over', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const first = await one.lock('k', { maxHold: 1_000 });
    const waiter = watch(one.lock('k', { maxHold: 1_000 }), clock);
    await clock.advance(20);
    await first.release();
    await clock.advance(990);
    expect(waiter.value?.state).toBe('held');
    await clock.advance(10);
    expect(waiter.value?.signal.reason).toMatchObject({ reason: 'max-hold', heldFor: 1_000 });
  });

  test('may be of a lock, shorter than its lease, or longer than a timer', async () => {
    const { locker, clock } = bench();
    const short = await locker({ maxHold: 5_000 }).lock('a', { maxHold: 20 });
    await clock.advance(20);
    expect(short.state).toBe('lost');
    const long = await locker().lock('b', { maxHold: 2 ** 31 + 5, ttl: 86_400_000 });
    await clock.advance(2 ** 31 + 4);
    expect(long.state).toBe('held');
    await clock.advance(1);
    expect(long.signal.reason).toMatchObject({ reason: 'max-hold' });
  });

  test('lets the next one in when the holder is done, or the lease', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const lock = await one.lock('k', { ttl: 3_000, maxHold: 500 });
    const local = watch(one.lock('k'), clock);
    await clock.advance(600);
    expect(local.state).toBe('pending');
    expect(await lock.release()).toBe(false);
    await clock.advance(1);
    expect(local.state).toBe('fulfilled');
  });
});
