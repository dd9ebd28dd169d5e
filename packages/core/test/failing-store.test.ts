import { describe, expect, test } from 'vitest';
import { LockNotAcquiredError, LockStoreError } from '../src/index.ts';
import { bench, hear, rejection, watch } from './kit.ts';

const refused = new Error('ECONNREFUSED');

describe('a store that fails while we wait', () => {
  test('asks a failing store again until it answers', async () => {
    const { locker, clock, faults } = bench();
    faults.fail({ times: Infinity });
    const waiter = watch(locker().lock('k', { wait: 10_000 }), clock);
    const endless = watch(locker().lock('j'), clock);
    await clock.advance(5_000);
    expect([waiter.state, endless.state]).toEqual(['pending', 'pending']);
    faults.heal();
    await clock.advance(2_000);
    expect([waiter.state, endless.state]).toEqual(['fulfilled', 'fulfilled']);
  });

  test('pauses between requests to a failing store', async () => {
    const { locker, clock, faults, sent } = bench();
    faults.fail({ times: Infinity });
    const waiter = watch(locker().lock('k', { wait: 10_000 }), clock);
    await clock.advance(10_000);
    expect(waiter.state).toBe('rejected');
    expect(sent('acquire')).toBeGreaterThan(5);
    expect(sent('acquire')).toBeLessThan(200);
  });

  test('rejects with LockStoreError at the limit when the store fails then', async () => {
    const { locker, clock, faults } = bench();
    await locker().lock('k');
    const one = locker();
    const waiters = [
      watch(one.lock('k', { wait: 5_000 }), clock),
      watch(one.lock('k', { wait: 5_000 }), clock),
      watch(one.lock(['k', 'j'], { wait: 5_000 }), clock),
    ];
    // Busy at first, and then the store is away.
    await clock.advance(100);
    faults.fail({ times: Infinity, error: refused });
    await clock.advance(4_899);
    expect(waiters.map(({ state }) => state)).toEqual(['pending', 'pending', 'pending']);
    await clock.advance(101);
    for (const { reason, at } of waiters) {
      expect(reason).toBeInstanceOf(LockStoreError);
      expect(reason).toMatchObject({ phase: 'acquire', key: 'k', cause: refused });
      expect(at).toBe(5_000);
    }
  });

  test('rejects as busy at the limit when the store has answered again', async () => {
    const { locker, clock, faults } = bench();
    await locker().lock('k');
    faults.fail({ times: Infinity });
    const waiter = watch(locker().lock('k', { wait: 5_000 }), clock);
    await clock.advance(1_000);
    faults.heal();
    await clock.advance(4_000);
    expect(waiter.reason).toBeInstanceOf(LockNotAcquiredError);
    expect(waiter.reason).toMatchObject({ waited: 5_000 });
  });

  test('lets go who waits without limit after 30 s without a break', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    faults.fail({ times: Infinity, error: refused });
    const waiters = [
      watch(one.lock('k'), clock),
      watch(one.lock('k'), clock),
      watch(
        one.withLock('j', () => {}),
        clock,
      ),
      watch(one.lock(['a', 'b']), clock),
    ];
    await clock.advance(29_900);
    expect(waiters.map(({ state }) => state)).toEqual(waiters.map(() => 'pending'));
    await clock.advance(2_100);
    for (const { reason, at } of waiters) {
      expect(reason).toBeInstanceOf(LockStoreError);
      expect(reason).toMatchObject({ cause: refused });
      expect((reason as Error).message).toContain('30 s');
      expect(at).toBeGreaterThanOrEqual(30_000);
    }
  });

  test('gives those who came later their 30 s, and no more', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    faults.fail({ times: Infinity });
    const early = watch(one.lock('k'), clock);
    await clock.advance(20_000);
    const late = watch(one.lock('k'), clock);
    await clock.advance(29_000);
    expect([early.state, late.state]).toEqual(['rejected', 'pending']);
    await clock.advance(3_000);
    expect(late.reason).toBeInstanceOf(LockStoreError);
  });

  test('lets them wait on where it answered once meanwhile', async () => {
    const { locker, clock, faults } = bench();
    const holder = await locker().lock('k', { ttl: 120_000 });
    faults.fail({ times: Infinity });
    const waiter = watch(locker().lock('k'), clock);
    await clock.advance(29_000);
    faults.heal();
    await clock.advance(3_000);
    faults.fail({ times: Infinity });
    await clock.advance(29_000);
    expect(waiter.state).toBe('pending');
    faults.heal();
    expect(await holder.release()).toBe(true);
    await clock.advance(3_000);
    expect(waiter.state).toBe('fulfilled');
  });

  test('does not let go those with a limit after 30 s', async () => {
    const { locker, clock, faults } = bench();
    faults.fail({ times: Infinity });
    const waiter = watch(locker().lock('k', { wait: 60_000 }), clock);
    await clock.advance(59_999);
    expect(waiter.state).toBe('pending');
    await clock.advance(1);
    expect(waiter.reason).toBeInstanceOf(LockStoreError);
  });

  test('rejects everybody at once when the failure is permanent', async () => {
    const { locker, clock, faults } = bench();
    const error = new LockStoreError('Wrong password.', { phase: 'acquire', permanent: true });
    const one = locker();
    faults.fail({ times: Infinity, error });
    const waiters = [watch(one.lock('k'), clock), watch(one.lock('k', { wait: 10_000 }), clock)];
    await clock.advance(1);
    for (const { reason } of waiters) {
      expect(reason).toBeInstanceOf(LockStoreError);
      expect(reason).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', permanent: true, key: 'k' });
    }
  });

  test('tells what was asked for, whatever the store takes itself to be asked for', async () => {
    const { locker, faults } = bench();
    const one = locker();
    const lock = await one.lock('k');
    const error = new LockStoreError('Wrong password.', { phase: 'acquire', permanent: true });
    faults.fail({ times: Infinity, error });
    for (const [phase, call] of [
      ['acquire', () => one.lock('other')],
      ['renew', () => lock.extend()],
      ['inspect', () => one.inspect('k')],
      ['list', () => one.list()],
      ['force-release', () => one.forceRelease('k')],
    ] as const) {
      const { message } = error;
      expect(await rejection(call())).toMatchObject({ phase, message, permanent: true });
    }
  });

  test('rejects at once on a permanent failure of a key that was busy before', async () => {
    const { locker, clock, faults } = bench();
    await locker().lock('k', { ttl: 2_000, renew: false });
    const one = locker();
    const waiters = [watch(one.lock('k'), clock), watch(one.lock('k'), clock)];
    await clock.advance(500);
    faults.fail({
      times: Infinity,
      error: new LockStoreError('The client is closed.', { phase: 'acquire', permanent: true }),
    });
    await clock.advance(3_500);
    expect(waiters.map(({ state }) => state)).toEqual(['rejected', 'rejected']);
  });
});

describe('a store that hangs while we wait', () => {
  test.each([50, 500, 3_000, 60_000])('does not stretch a limit of %d ms', async (wait) => {
    const { locker, clock, faults } = bench();
    const one = locker();
    faults.dropRequest({ times: Infinity });
    const waiters = [
      watch(one.lock('k', { wait }), clock),
      watch(one.lock('k', { wait }), clock),
      watch(one.lock(['a', 'b'], { wait }), clock),
    ];
    await clock.advance(wait - 1);
    expect(waiters.map(({ state }) => state)).toEqual(waiters.map(() => 'pending'));
    await clock.advance(101);
    for (const { reason, at } of waiters) {
      expect(reason).toBeInstanceOf(LockStoreError);
      expect(at).toBeLessThanOrEqual(wait + 100);
    }
  });

  test('lets go who waits without limit after 30 s', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    faults.dropRequest({ times: Infinity });
    const waiters = [watch(one.lock('k'), clock), watch(one.lock('k'), clock)];
    await clock.advance(29_000);
    expect(waiters.map(({ state }) => state)).toEqual(['pending', 'pending']);
    await clock.advance(5_000);
    for (const { reason } of waiters) expect(reason).toBeInstanceOf(LockStoreError);
  });

  test('leaves no lock behind when it thaws later', async () => {
    const { locker, clock, faults, free } = bench();
    // Every request is executed only after its sender has given up.
    faults.delay(12_000, { times: Infinity });
    const one = locker({ storeTimeout: 500 });
    const waiters = [
      watch(one.lock('k', { wait: 2_000 }), clock),
      watch(one.tryLock('x'), clock),
      watch(one.lock(['k', 'j'], { wait: 2_000 }), clock),
    ];
    await clock.advance(2_100);
    expect(waiters.map(({ state }) => state)).toEqual(['rejected', 'rejected', 'rejected']);
    faults.heal();
    await clock.advance(30_000);
    expect(await free('k')).toBe(true);
    expect(await free('j')).toBe(true);
    expect(await free('x')).toBe(true);
    expect(clock.timers).toBe(0);
  });
});

describe('what an operator hears of it', () => {
  test('a store-error at most once a second', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    const heard = hear(one, 'store-error');
    faults.fail({ times: Infinity, error: refused });
    for (let i = 0; i < 20; i++) void one.lock(`k${i}`, { wait: 5_000 }).catch(() => {});
    await clock.advance(0);
    expect(heard).toHaveLength(1);
    await clock.advance(5_000);
    expect(heard.length).toBeGreaterThan(2);
    expect(heard.length).toBeLessThanOrEqual(6);
    for (const event of heard) {
      expect(event).toMatchObject({ locker: 'default', store: 'memory' });
      expect((event as { error?: unknown }).error).toBeInstanceOf(LockStoreError);
      expect((event as { error: Error }).error.cause).toBe(refused);
    }
  });

  test('hears not-acquired only when the lock was busy', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    const heard = hear(one, 'not-acquired');
    faults.fail({ times: Infinity });
    void one.lock('k', { wait: 500 }).catch(() => {});
    void one.tryLock('j').catch(() => {});
    await clock.advance(1_000);
    expect(heard).toEqual([]);
  });
});
