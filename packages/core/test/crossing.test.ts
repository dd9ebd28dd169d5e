import { describe, expect, test } from 'vitest';
import { bench, hear, watch } from './kit.ts';

/** What happens while something else is under way. */
describe('a list of keys', () => {
  test('finds a list of keys busy when its first key is lost during a single attempt', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker();
    faults.delay(0, { verb: 'acquire' });
    faults.delay(100, { verb: 'acquire' });
    const attempt = watch(one.tryLock(['a', 'b']), clock);
    await clock.advance(20);
    expect(await free('a')).toBe(false);
    expect(await locker().forceRelease('a')).toBe(true);
    await clock.advance(5_100);
    expect(attempt).toMatchObject({ state: 'fulfilled', value: null });
    expect(await free('a')).toBe(true);
    expect(await free('b')).toBe(true);
    expect(clock.timers).toBe(0);
  });

  test('starts again when the first key is old and cannot be renewed', async () => {
    const { locker, clock, faults } = bench();
    const holder = await locker().lock('b');
    const waiter = watch(locker({ ttl: 1_000 }).lock(['a', 'b']), clock);
    await clock.advance(400);
    const before = (await locker().inspect('a'))?.fencingToken;
    faults.fail({ verb: 'renew', times: Infinity });
    await clock.advance(480);
    // Renewed last 547 ms ago: less than half of its time is left.
    await holder.release();
    await clock.advance(10);
    expect(waiter.value?.remaining).toBeGreaterThanOrEqual(890);
    expect(waiter.value?.tokenFor('a')).toBeGreaterThan(before!);
  });

  test('leaves nothing when it is abandoned while its first key is renewed', async () => {
    const { locker, clock, faults, free } = bench();
    const controller = new AbortController();
    const holder = await locker().lock('b');
    const one = locker({ ttl: 1_000 });
    const waiter = watch(one.lock(['a', 'b'], { signal: controller.signal }), clock);
    await clock.advance(330);
    faults.fail({ verb: 'renew', times: Infinity });
    await clock.advance(180);
    faults.heal();
    faults.delay(100, { verb: 'renew' });
    await holder.release();
    await clock.advance(50);
    expect(waiter.state).toBe('pending');
    controller.abort('x');
    await clock.advance(5_000);
    expect(waiter.reason).toBe('x');
    expect(await free('a')).toBe(true);
    expect(await free('b')).toBe(true);
    expect(clock.timers).toBe(0);
  });

  test('takes a key from its own locker, by hand-off, and gives it back to it', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    const other = await locker().lock('b');
    const first = await one.lock('a');
    const list = watch(one.lock(['a', 'b'], { wait: 1_000 }), clock);
    const last = watch(one.lock('a'), clock);
    await clock.advance(10);
    await first.release();
    await clock.advance(10);
    expect(last.state).toBe('pending');
    await clock.advance(1_000);
    expect([list.state, last.state]).toEqual(['rejected', 'fulfilled']);
    expect(last.value!.fencingToken).toBeGreaterThan(first.fencingToken);
    await last.value?.release();
    await other.release();
    expect(await free('a')).toBe(true);
  });
});

describe('an owner that takes its own lock over', () => {
  test('keeps at it where the store fails once', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    const older = await one.lock('k', { owner: 'o' });
    faults.fail({ verb: 'acquire' });
    const newer = watch(one.lock('k', { owner: 'o' }), clock);
    await clock.advance(500);
    expect(newer.value?.state).toBe('held');
    expect(older.signal.reason).toMatchObject({ reason: 'superseded' });
  });

  test('asks anew when it was granted too late twice', async () => {
    const { locker, clock, faults } = bench();
    const one = locker({ ttl: 1_000, storeTimeout: 900 });
    const older = await one.lock('k', { owner: 'o' });
    faults.delay(500, { verb: 'acquire', times: 2 });
    const newer = watch(one.lock('k', { owner: 'o', wait: 5_000 }), clock);
    await clock.advance(3_000);
    expect(newer.value?.remaining).toBeGreaterThanOrEqual(450);
    newer.value?.assertHeld();
    expect(older.signal.reason).toMatchObject({ reason: 'superseded' });
    await newer.value?.release();
    await clock.advance(5_000);
    expect(clock.timers).toBe(0);
  });
});

describe('a release that asks for the next of its process in the same request', () => {
  test('frees the lock also where that one gives up meanwhile', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker({ handoff: false });
    const lock = await one.lock('k');
    const controller = new AbortController();
    const next = watch(one.lock('k', { signal: controller.signal }), clock);
    await clock.advance(10);
    faults.delay(100, { times: Infinity });
    const released = watch(lock.release(), clock);
    await clock.advance(20);
    controller.abort('x');
    await clock.advance(400);
    expect(next.reason).toBe('x');
    expect(released.state).toBe('fulfilled');
    expect(await free('k')).toBe(true);
  });

  test('frees it where the request never arrives', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker({ handoff: false, storeTimeout: 300 });
    const lock = await one.lock('k', { ttl: 60_000 });
    const next = watch(one.lock('k', { wait: 5_000 }), clock);
    await clock.advance(10);
    faults.dropRequest({ verb: 'acquire' });
    const released = watch(lock.release(), clock);
    await clock.advance(1_100);
    expect(released.state).toBe('fulfilled');
    expect(next.value?.state).toBe('held');
    await next.value?.release();
    expect(await free('k')).toBe(true);
  });
});

describe('a renewal that is confirmed', () => {
  test('revives no lock that is over by the clock, and is undone', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker();
    const heard = hear(one, 'renewed', 'lost');
    const lock = await one.lock('k', { ttl: 1_000 });
    faults.delay(100, { verb: 'renew' });
    await clock.advance(400);
    // The machine sleeps while the answer is on its way.
    clock.suspend(2_000);
    await clock.advance(100);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    expect(heard).toMatchObject([{ event: 'lost' }]);
    await clock.advance(50);
    expect(await free('k')).toBe(true);
  });
});

describe('a listener', () => {
  test('hears events when it is added again after its removal', async () => {
    const { locker } = bench();
    const one = locker();
    const keys: string[] = [];
    const listener = ({ key }: { key: string }): void => void keys.push(key);
    const off = one.on('acquired', listener);
    await one.lock('a');
    off();
    await one.lock('b');
    const again = one.on('acquired', listener);
    off();
    await one.lock('c');
    again();
    await one.lock('d');
    expect(keys).toEqual(['a', 'c']);
  });
});
