import { describe, expect, test } from 'vitest';
import {
  LockReleasedError,
  type Lock,
  type LockerOptions,
  type LockOptions,
} from '../src/index.ts';
import { bench, hear, settled, watch, type Bench, type Watched } from './kit.ts';

/** A holder and one who waits in the same process, and what a release between them costs. */
async function pass(
  world: Bench,
  options: LockerOptions = {},
  holder: LockOptions = {},
  waiter: LockOptions = {},
  before: (lock: Lock) => unknown = () => {},
): Promise<{ older: Lock; newer: Watched<Lock>; cost: number }> {
  const one = world.locker(options);
  const older = await one.lock('k', holder);
  const newer = watch(one.lock('k', waiter), world.clock);
  await before(older);
  const start = world.sent();
  await older.release();
  await settled();
  return { older, newer, cost: world.sent() - start };
}

describe('a release while others of the same process wait', () => {
  test('passes the lock on without a request', async () => {
    const { older, newer, cost } = await pass(bench());
    expect(cost).toBe(0);
    const lock = newer.value!;
    expect(lock.state).toBe('held');
    lock.assertHeld();
    // A new handle, a new signal, and the next of the tokens.
    expect(lock).not.toBe(older);
    expect(older.signal.reason).toBeInstanceOf(LockReleasedError);
    expect(lock.signal.aborted).toBe(false);
    expect(lock.fencingToken).toBe(older.fencingToken + 1);
    expect(lock.owner).not.toBe(older.owner);
  });

  test('answers true, and a second release of the old handle touches nothing', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    const older = await one.lock('k');
    const newer = watch(one.lock('k'), clock);
    expect(await older.release()).toBe(true);
    await settled();
    expect(await older.release()).toBe(false);
    newer.value?.assertHeld();
    expect(await free('k')).toBe(false);
    expect(await newer.value?.release()).toBe(true);
    expect(await free('k')).toBe(true);
  });

  test('lets the next one go on before the one who has released', async () => {
    const one = bench().locker();
    const older = await one.lock('k');
    const order: string[] = [];
    const next = async (): Promise<void> => {
      const lock = await one.lock('k');
      order.push('the next one holds');
      await lock.release();
    };
    const waiting = next();
    await older.release();
    order.push('the release has been answered');
    await waiting;
    expect(order).toEqual(['the next one holds', 'the release has been answered']);
  });

  test('serves first come, first served', async () => {
    const { locker } = bench();
    const one = locker();
    const order: number[] = [];
    const tokens: number[] = [];
    const runs = Array.from({ length: 300 }, (_, index) =>
      one.withLock('k', async ({ fencingToken }) => {
        order.push(index);
        tokens.push(fencingToken);
        await Promise.resolve();
      }),
    );
    await Promise.all(runs);
    expect(order).toEqual(Array.from({ length: 300 }, (_, index) => index));
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(300);
  });

  test('emits release, hand-off and acquisition in this order', async () => {
    const world = bench();
    const one = world.locker({ name: 'one' });
    const older = await one.lock('k');
    const newer = watch(one.lock('k'), world.clock);
    const heard = hear(one);
    await world.clock.advance(30);
    await older.release();
    await settled();
    const { fencingToken, owner } = newer.value!;
    const common = { locker: 'one', store: 'memory', key: 'k', keys: ['k'] };
    expect(heard).toMatchObject([
      { event: 'released', ...common, fencingToken: older.fencingToken, heldFor: 30 },
      { event: 'handoff', ...common, fencingToken, owner },
      { event: 'acquired', ...common, fencingToken, owner, waited: 30 },
    ]);
    expect(heard).toHaveLength(3);
  });
});

describe('the store is asked instead', () => {
  const cases: [string, LockerOptions, LockOptions, LockOptions][] = [
    ['the holder has an explicit owner', {}, { owner: 'o' }, {}],
    ['the waiter has an explicit owner', {}, {}, { owner: 'o' }],
    ['their ttls differ', {}, { ttl: 5_000 }, { ttl: 6_000 }],
    ['the holder is not renewed', {}, { renew: false }, {}],
    ['the waiter will not be renewed', {}, {}, { renew: false }],
    ['hand-off is off', { handoff: false }, {}, {}],
    ['it may be passed on 0 times', { handoff: { max: 0 } }, {}, {}],
    ['it may be passed on for 0 ms', { handoff: { tenure: 0 } }, {}, {}],
  ];
  test.each(cases)('asks the store instead when %s', async (_, options, holder, waiter) => {
    const { older, newer, cost } = await pass(bench(), options, holder, waiter);
    expect(cost).toBeGreaterThan(0);
    expect(newer.value?.state).toBe('held');
    expect(newer.value?.remaining).toBe((waiter.ttl ?? 10_000) * 0.9);
    expect(newer.value?.fencingToken).toBeGreaterThan(older.fencingToken);
  });

  test('asks the store instead when the tenure is over: 50 ms after its grant', async () => {
    for (const [at, free] of [
      [49, true],
      [50, false],
    ] as const) {
      const world = bench();
      const { cost } = await pass(world, {}, {}, {}, () => world.clock.advance(at));
      expect(cost === 0, `${at} ms`).toBe(free);
    }
  });

  test('asks the store instead when it has not confirmed the lock for a third of its ttl', async () => {
    for (const [at, free] of [
      [99, true],
      [101, false],
    ] as const) {
      const world = bench();
      const ttl = 300;
      const options = { ttl, handoff: { tenure: 10_000 } };
      world.faults.fail({ verb: 'renew', times: Infinity });
      const { cost, newer } = await pass(world, options, {}, {}, () => world.clock.advance(at));
      expect(cost === 0, `${at} ms`).toBe(free);
      expect(newer.value?.remaining).toBe(free ? 250 - at : 250);
    }
  });

  test('asks the store instead when the machine was suspended meanwhile', async () => {
    const world = bench();
    const suspend = (): void => world.clock.suspend(8_000);
    const { cost, newer } = await pass(world, { handoff: { tenure: 60_000 } }, {}, {}, suspend);
    expect(cost).toBeGreaterThan(0);
    expect(newer.value?.remaining).toBe(9_000);
  });

  test('asks the store instead when the holder has lost the lock', async () => {
    const world = bench();
    const { older, newer } = await pass(world, {}, { maxHold: 20 }, {}, () =>
      world.clock.advance(30),
    );
    expect(older.state).toBe('lost');
    expect(newer.value?.fencingToken).toBeGreaterThan(older.fencingToken + 1);
  });

  test('asks the store instead when the lock has a holdAtLeast', async () => {
    const { newer, cost } = await pass(bench(), {}, { holdAtLeast: 1_000 });
    expect(cost).toBeGreaterThan(0);
    expect(newer.state).toBe('pending');
  });
});

describe('after a hand-off', () => {
  test('the lease is renewed as before, from the last confirmation', async () => {
    const world = bench();
    const { newer } = await pass(world, { ttl: 300 }, {}, {}, () => world.clock.advance(40));
    expect(newer.value?.remaining).toBe(210);
    await world.clock.advance(5_000);
    newer.value?.assertHeld();
    expect(await world.locker().tryLock('k')).toBeNull();
  });

  test('a loss is told to the new holder alone', async () => {
    const world = bench();
    const { older, newer } = await pass(world);
    await world.locker().forceRelease('k');
    expect(newer.value?.signal.reason).toMatchObject({ reason: 'forced' });
    expect(older.state).toBe('released');
  });

  test('what the store shows is a lower bound of the token', async () => {
    const world = bench();
    const { newer } = await pass(world);
    const info = await world.locker().inspect('k');
    expect(info?.fencingToken).toBeLessThanOrEqual(newer.value!.fencingToken);
    await newer.value?.release();
    const next = await world.locker().lock('k');
    expect(next.fencingToken).toBeGreaterThan(newer.value!.fencingToken);
  });

  test('a renewal that was under way counts for the new holder', async () => {
    const world = bench();
    const one = world.locker({ ttl: 300, handoff: { tenure: 10_000 } });
    const older = await one.lock('k');
    const newer = watch(one.lock('k'), world.clock);
    world.faults.delay(30, { verb: 'renew' });
    await world.clock.advance(100);
    await older.release();
    await settled();
    await world.clock.advance(30);
    expect(newer.value?.state).toBe('held');
    expect(newer.value?.remaining).toBe(220);
    expect(await older.release()).toBe(false);
  });

  test.each([
    ['comes late', 400],
    ['is answered late', 30],
  ])('a request for the new holder that is still under way is ignored: it %s', async (_, ms) => {
    const { locker, clock, faults, free } = bench();
    const one = locker({ maxWaiting: 1 });
    // It does not wait, and so is not in line before the others.
    faults.delay(20, { verb: 'acquire' });
    const first = watch(one.tryLock('k'), clock);
    faults.delay(ms, { verb: 'acquire' });
    const second = watch(one.lock('k'), clock);
    // Nothing is passed on to this one, so the store is asked for it.
    const third = watch(one.lock('k', { ttl: 5_000 }), clock);
    await clock.advance(20);
    await first.value?.release();
    await settled();
    expect(second.value?.state).toBe('held');
    expect(await second.value?.release()).toBe(true);
    await clock.advance(1_000);
    expect(third.value?.state).toBe('held');
    expect(await third.value?.release()).toBe(true);
    await clock.advance(1_000);
    expect(await free('k')).toBe(true);
    // Nobody is counted who waits no more.
    const next = await locker().lock('k');
    const waiting = watch(one.lock('k'), clock);
    await clock.advance(100);
    expect(waiting.state).toBe('pending');
    await next.release();
    await clock.advance(1_000);
    expect(waiting.value?.state).toBe('held');
  });
});
