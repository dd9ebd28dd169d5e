import { describe, expect, test } from 'vitest';
import { setRenewal } from '../src/index.ts';
import { bench, settled, watch } from './kit.ts';

describe('who waits', () => {
  test('leaves from the middle of the queue without breaking it', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const first = await one.lock('k');
    const controllers = Array.from({ length: 5 }, () => new AbortController());
    const order: number[] = [];
    const waiters = controllers.map(({ signal }, index) =>
      watch(
        one.withLock('k', { signal }, () => void order.push(index)),
        clock,
      ),
    );
    for (const index of [2, 4, 1]) controllers[index]!.abort('x');
    await first.release();
    await settled();
    expect(order).toEqual([0, 3]);
    expect(waiters.map(({ reason }) => reason)).toEqual([undefined, 'x', 'x', undefined, 'x']);
  });

  test('asks again at once when it is woken while its request is under way', async () => {
    const { locker, clock, faults, tell, sent } = bench();
    await locker().lock('k', { ttl: 60_000 });
    const one = locker();
    faults.delay(200, { verb: 'acquire' });
    const waiter = watch(one.lock('k'), clock);
    await clock.advance(150);
    const before = sent('acquire');
    tell({ type: 'wake', key: 'k' });
    expect(sent('acquire')).toBe(before);
    await clock.advance(51);
    expect(sent('acquire')).toBe(before + 1);
    expect(waiter.state).toBe('pending');
  });

  test('ignores a refusal that arrives after its time-out', async () => {
    const { locker, clock, faults } = bench();
    const holder = await locker().lock('k', { ttl: 60_000 });
    faults.delay(600, { verb: 'acquire' });
    const waiter = watch(locker({ storeTimeout: 200 }).lock('k'), clock);
    await clock.advance(5_000);
    await holder.release();
    await clock.advance(600);
    expect(waiter.state).toBe('fulfilled');
  });

  test('gets nothing from a request that arrives after it has left', async () => {
    const { locker, clock, faults, free } = bench();
    const controller = new AbortController();
    faults.delay(6_000, { verb: 'acquire' });
    const attempt = locker().lock('k', { ttl: 60_000, signal: controller.signal });
    const waiter = watch(attempt, clock);
    await clock.advance(100);
    controller.abort('x');
    // By now it is taken back already, and only then executed.
    await clock.advance(3_000);
    expect([waiter.reason, await free('k')]).toEqual(['x', false]);
    await clock.advance(3_000);
    expect(await free('k')).toBe(true);
  });

  test('hears nothing of a refresh that fails after it has left', async () => {
    const { locker, clock, faults } = bench();
    await locker().lock('k', { ttl: 60_000 });
    const controller = new AbortController();
    const one = locker();
    const waiter = watch(one.lock('k', { signal: controller.signal }), clock);
    await clock.advance(400);
    faults.dropRequest({ verb: 'refresh' });
    await clock.advance(200);
    controller.abort('x');
    await clock.advance(40_000);
    expect(waiter.reason).toBe('x');
    expect(clock.timers).toBe(1);
  });

  test('takes an unanswered grant back when the lock is handed to it', async () => {
    const { locker, clock, faults, requests } = bench();
    const one = locker({ ttl: 60_000, handoff: { tenure: 60_000 } });
    const lock = await one.lock('k');
    const waiter = watch(one.lock('k'), clock);
    const controller = new AbortController();
    const gone = watch(one.lock('k', { signal: controller.signal }), clock);
    // A lock that is not renewed is not handed over, so the store is asked: in vain.
    setRenewal(lock, false);
    faults.dropReply({ verb: 'acquire' });
    controller.abort('x');
    await clock.advance(2_000);
    expect(gone.reason).toBe('x');
    setRenewal(lock, true);
    await lock.release();
    await clock.advance(10);
    expect(waiter.value?.fencingToken).toBe(lock.fencingToken + 1);
    expect(requests.filter(({ verb }) => verb === 'release')).toHaveLength(1);
    await clock.advance(100_000);
    waiter.value?.assertHeld();
  });
});
