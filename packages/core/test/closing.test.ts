import { describe, expect, test } from 'vitest';
import { LockerClosedError, LockLostError, type Lock } from '../src/index.ts';
import { bench, hear, rejection, settled, watch } from './kit.ts';

describe('a closed locker', () => {
  test('refuses everything, whatever the way', async () => {
    const { locker, requests } = bench();
    const one = locker();
    await one.close();
    const before = requests.length;
    for (const attempt of [
      () => one.lock('k'),
      () => one.lock(['k', 'j']),
      () => one.lock('k', { wait: 0 }),
      () => one.tryLock('k'),
      () => one.withLock('k', () => {}),
      () => one.tryWithLock('k', () => {}),
      () => one.inspect('k'),
      () => one.forceRelease('k'),
    ]) {
      const error = await rejection(attempt());
      expect(error).toBeInstanceOf(LockerClosedError);
      expect(error).toMatchObject({
        code: 'LOCKER_CLOSED',
        status: 503,
        statusCode: 503,
        key: 'k',
      });
      expect(error).toMatchObject({ expose: false, headers: { 'Retry-After': '1' } });
    }
    expect(requests.length).toBe(before);
  });

  test('may be closed again, before and after', async () => {
    const { locker } = bench();
    const one = locker();
    await Promise.all([one.close(), one.close({ drain: 10_000 }), one[Symbol.asyncDispose]()]);
    await one.close();
    expect(await rejection(one.tryLock('k'))).toBeInstanceOf(LockerClosedError);
  });

  test('does not hurt the other lockers of its store', async () => {
    const { locker, clock } = bench();
    const other = locker();
    const lock = await other.lock('k', { ttl: 300 });
    const one = locker();
    await one.lock('j');
    await one.close();
    await clock.advance(5_000);
    lock.assertHeld();
    await (await other.lock('j')).release();
  });

  test('closes at once and without I/O when it never took a lock', async () => {
    const { locker, requests, clock } = bench();
    const closed = watch(locker().close({ drain: 60_000 }), clock);
    await settled();
    expect(closed.state).toBe('fulfilled');
    expect(requests).toEqual([]);
    expect(clock.timers).toBe(0);
  });
});

describe('closing', () => {
  test('rejects those who wait, and frees what is held', async () => {
    const { locker, clock, free } = bench();
    await locker().lock('busy');
    const one = locker();
    const held = [await one.lock('a'), await one.lock('b'), await one.lock(['c', 'd'])];
    const waiters = [
      watch(one.lock('a'), clock),
      watch(one.lock('busy'), clock),
      watch(one.lock(['a', 'e']), clock),
      watch(
        one.withLock('busy', () => {}),
        clock,
      ),
    ];
    const heard = hear(one, 'lost', 'released');
    await clock.advance(10);
    const closed = watch(one.close(), clock);
    await settled();
    expect(closed).toMatchObject({ state: 'fulfilled', at: 10 });
    for (const { reason } of waiters) {
      expect(reason).toBeInstanceOf(LockerClosedError);
      expect((reason as LockerClosedError).key).toBeDefined();
    }
    for (const lock of held) {
      expect(lock.state).toBe('lost');
      expect(lock.signal.reason).toBeInstanceOf(LockLostError);
      expect(lock.signal.reason).toMatchObject({ reason: 'closed' });
      expect(() => lock.assertHeld()).toThrow(LockLostError);
      expect(await lock.release()).toBe(false);
    }
    expect(heard).toMatchObject(
      held.map(({ keys }) => ({ event: 'lost', reason: 'closed', keys })),
    );
    for (const key of ['a', 'b', 'c', 'd', 'e']) expect(await free(key)).toBe(true);
    expect(await free('busy')).toBe(false);
    expect(clock.timers).toBe(1);
  });

  test('tells the signals before anybody else gets the lock', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const lock = await one.lock('k');
    const next = locker()
      .lock('k')
      .then(() => lock.signal.aborted);
    await clock.advance(10);
    await one.close();
    expect(await next).toBe(true);
  });

  test('rejects a request that is under way, and takes it back', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker();
    faults.delay(200, { verb: 'acquire', times: 2 });
    const attempts = [watch(one.lock('k', { ttl: 60_000 }), clock), watch(one.tryLock('j'), clock)];
    await clock.advance(50);
    const closed = watch(one.close(), clock);
    await settled();
    for (const { reason } of attempts) expect(reason).toBeInstanceOf(LockerClosedError);
    await clock.advance(1_000);
    expect(closed.state).toBe('fulfilled');
    expect(await free('k')).toBe(true);
    expect(await free('j')).toBe(true);
    expect(clock.timers).toBe(0);
  });

  test('lets a callback that still runs keep its lock until it has settled, unrenewed', async () => {
    const { locker, clock, free, sent } = bench();
    const one = locker();
    let finish = (_value: number): void => {};
    let inside: Lock | undefined;
    const run = one.withLock('k', { ttl: 10_000 }, (lock) => {
      inside = lock;
      return new Promise<number>((resolve) => (finish = resolve));
    });
    await clock.advance(100);
    await one.close();
    expect(inside?.signal.reason).toMatchObject({ reason: 'closed' });
    expect(inside?.state).toBe('lost');
    expect(await free('k')).toBe(false);
    const renewals = sent('renew');
    await clock.advance(5_000);
    expect(await free('k')).toBe(false);
    finish(42);
    expect(await run).toBe(42);
    expect(await free('k')).toBe(true);
    expect(sent('renew')).toBe(renewals);
    expect(clock.timers).toBe(0);
  });

  test('keeps the lock of a running callback until its ttl is over at the latest', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    void one.withLock('k', { ttl: 3_000 }, () => new Promise(() => {}));
    await clock.advance(1_500);
    await one.close();
    // Renewed last at 1 000.
    await clock.advance(2_499);
    expect(await free('k')).toBe(false);
    await clock.advance(1);
    expect(await free('k')).toBe(true);
  });

  test('does not let the store stop it, and gives up after a second', async () => {
    for (const fault of ['fail', 'dropRequest'] as const) {
      const { locker, clock, faults } = bench();
      const one = locker();
      const lock = await one.lock('k');
      void one.lock('j', { owner: 'o' }).catch(() => {});
      faults[fault]({ times: Infinity });
      void one.tryLock('i').catch(() => {});
      const closed = watch(one.close(), clock);
      await settled();
      expect(lock.signal.reason).toMatchObject({ reason: 'closed' });
      await clock.advance(1_100);
      expect(closed.state).toBe('fulfilled');
    }
  });

  test('asks once more for a release whose request or answer may be lost', async () => {
    for (const fault of ['dropRequest', 'dropReply'] as const) {
      const { locker, clock, faults, free } = bench();
      const one = locker();
      const lock = await one.lock('k', { ttl: 60_000 });
      faults[fault]({ verb: 'release' });
      void lock.release();
      await clock.advance(10);
      const closed = watch(one.close(), clock);
      await settled();
      expect(closed.state).toBe('fulfilled');
      expect(await free('k')).toBe(true);
    }
  });

  test('confirms what is being released, where the store recovers in time', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker();
    const lock = await one.lock('k');
    faults.fail({ verb: 'release', times: 3 });
    void lock.release();
    const closed = watch(one.close(), clock);
    await clock.advance(1_000);
    expect(closed.state).toBe('fulfilled');
    expect(await free('k')).toBe(true);
  });
});
