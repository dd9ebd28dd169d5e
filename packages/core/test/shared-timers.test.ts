import { describe, expect, test } from 'vitest';
import { LockNotAcquiredError, LockStoreError } from '../src/index.ts';
import { bench, rejection, settled, watch } from './kit.ts';

describe('waiters with equal limits', () => {
  test('share a timer, and end each at its own time', async () => {
    const { locker, clock } = bench();
    const one = locker();
    await one.lock('k', { renew: false, ttl: 60_000 });
    const before = clock.timers;
    const waits = [];
    for (let count = 0; count < 100; count++) {
      waits.push(watch(one.lock('k', { wait: 1_000 }), clock));
      await clock.advance(1);
    }
    expect(clock.timers - before).toBeLessThan(5);
    await clock.advance(1_000);
    expect(waits.map(({ at }) => at)).toEqual(waits.map((_, count) => 1_000 + count));
    expect(waits.every(({ reason }) => reason instanceof LockNotAcquiredError)).toBe(true);
  });

  test('leave no timer behind when the last of them has its lock', async () => {
    const { locker, clock } = bench();
    const one = locker();
    for (let wait = 1_001; wait < 1_050; wait++) {
      const held = await one.lock('k', { wait });
      const next = one.lock('k', { wait });
      await settled();
      await held.release();
      await (await next).release();
    }
    await clock.advance(0);
    expect(clock.timers).toBeLessThan(5);
  });
});

describe('a request that is handed over', () => {
  test('keeps its timeout when somebody else of the process wants the key', async () => {
    const { locker, clock, faults } = bench();
    faults.dropReply({ verb: 'acquire', times: Infinity });
    const one = locker({ storeTimeout: 1_000 });
    const first = watch(one.lock('k', { wait: 1_500 }), clock);
    const other = watch(one.lock('j', { wait: 1_500 }), clock);
    await clock.advance(600);
    const second = watch(one.lock('k', { wait: 600 }), clock);
    await clock.advance(900);
    expect([first, other, second].map(({ at }) => at)).toEqual([1_500, 1_500, 1_200]);
    for (const { reason } of [first, other, second]) expect(reason).toBeInstanceOf(LockStoreError);
  });

  test('is answered once', async () => {
    const { locker, clock, faults, sent } = bench();
    faults.delay(300, { verb: 'acquire' });
    const one = locker();
    const first = one.lock('k', { wait: 5_000 });
    await clock.advance(100);
    const second = one.lock('k', { wait: 5_000 });
    await clock.advance(200);
    const lock = await first;
    expect(sent('acquire')).toBe(1);
    await clock.advance(4_000);
    lock.assertHeld();
    await lock.release();
    (await second).assertHeld();
  });

  test('takes back a grant that comes after the caller has given up', async () => {
    const { locker, clock, faults, free } = bench();
    faults.delay(800, { verb: 'acquire' });
    const caller = new AbortController();
    const waiting = rejection(locker().lock('k', { signal: caller.signal }));
    await clock.advance(100);
    caller.abort(new Error('no more'));
    expect(await waiting).toBe(caller.signal.reason);
    await clock.advance(1_000);
    expect(await free('k')).toBe(true);
  });
});

describe('a release', () => {
  test('answers within a second, is given up after the timeout, and then sent again', async () => {
    const { locker, clock, faults, sent, free } = bench();
    const lock = await locker({ ttl: 60_000, storeTimeout: 1_500 }).lock('k');
    faults.dropRequest({ verb: 'release' });
    const released = watch(lock.release(), clock);
    await clock.advance(1_499);
    expect(released).toMatchObject({ value: false, at: 1_000 });
    expect(sent('release')).toBe(1);
    await clock.advance(200);
    expect(sent('release')).toBe(2);
    expect(await free('k')).toBe(true);
  });

  test('answers as soon as it is confirmed, also at a later request', async () => {
    const { locker, clock, faults } = bench();
    const lock = await locker({ ttl: 60_000, storeTimeout: 200 }).lock('k');
    faults.dropRequest({ verb: 'release' });
    const released = watch(lock.release(), clock);
    await clock.advance(1_000);
    expect(released.value).toBe(true);
    expect(released.at).toBeGreaterThanOrEqual(200);
    expect(released.at).toBeLessThan(1_000);
  });
});
