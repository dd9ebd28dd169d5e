import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { bench, rejection, seededRandom, settled, watch, type Bench } from './kit.ts';

describe('an aborted signal', () => {
  test('rejects with its reason, whatever that is, and without I/O', async () => {
    const { locker, requests } = bench();
    const one = locker();
    for (const reason of [new Error('enough'), 'enough', 0, null, { enough: true }]) {
      const signal = AbortSignal.abort(reason);
      expect(await rejection(one.lock('k', { signal }))).toBe(reason);
      expect(await rejection(one.lock(['k', 'j'], { signal }))).toBe(reason);
      expect(await rejection(one.tryLock('k', { signal }))).toBe(reason);
      expect(await rejection(one.withLock('k', { signal }, () => 1))).toBe(reason);
      expect(await rejection(one.tryWithLock('k', { signal }, () => 1))).toBe(reason);
      expect(await rejection(one.lock('k', { signal, owner: 'o' }))).toBe(reason);
      expect(await rejection(one.lock('k', { signal, wait: 0 }))).toBe(reason);
    }
    const { name } = (await rejection(one.lock('k', { signal: AbortSignal.abort() }))) as Error;
    expect(name).toBe('AbortError');
    expect(requests).toEqual([]);
  });

  test('rejects at once also when somebody holds the key or waits for it', async () => {
    const { locker, sent, clock } = bench();
    const one = locker();
    await one.lock('k');
    watch(one.lock('k'));
    const before = sent();
    expect(await rejection(one.lock('k', { signal: AbortSignal.abort('x') }))).toBe('x');
    expect(sent()).toBe(before);
    expect(clock.now()).toBe(0);
  });
});

/** Where a wait may be when it is cancelled. */
const phases: Record<string, (bench: Bench) => Promise<void>> = {
  'the lock is held elsewhere': async ({ locker }) => {
    await locker().lock('k');
  },
  'the first request is under way': async ({ faults }) => {
    faults.delay(1_000, { verb: 'acquire' });
  },
  'the store hangs': async ({ faults }) => {
    faults.dropRequest({ times: Infinity });
  },
  'the reply is lost': async ({ faults }) => {
    faults.dropReply({ verb: 'acquire', times: 3 });
  },
  'it backs off after an error': async ({ faults }) => {
    faults.fail({ times: 4 });
  },
  'the store reported a failure, but had granted': async ({ faults }) => {
    faults.failAfter({ times: 4 });
  },
};

describe('aborting while', () => {
  for (const [name, prepare] of Object.entries(phases)) {
    for (const at of [0, 1, 37, 400]) {
      test(`${name}, after ${at} ms, rejects at once and leaves nothing`, async () => {
        const world = bench();
        const { clock, locker, faults } = world;
        await prepare(world);
        const controllers = Array.from({ length: 3 }, () => new AbortController());
        const one = locker();
        const waiters = controllers.map(({ signal }, index) =>
          watch(one.lock(index === 2 ? ['k', 'j'] : 'k', { signal }), clock),
        );
        await clock.advance(at);
        const pending = waiters.filter(({ state }) => state === 'pending');
        const reason = new Error('enough');
        for (const controller of controllers) controller.abort(reason);
        await settled();
        for (const waiter of pending) {
          expect(waiter.at).toBe(clock.now());
          // Served as soon as the one before it had gone, or refused.
          expect(waiter.value?.signal.reason ?? waiter.reason).toBe(reason);
        }
        expect(waiters.map(({ state }) => state)).toContain('rejected');
        for (const { signal } of controllers) {
          const held = waiters.filter(({ state }) => state === 'fulfilled').length;
          expect(getEventListeners(signal, 'abort').length).toBeLessThanOrEqual(held);
        }
        for (const { value } of waiters) await value?.release();
        faults.heal();
        await clock.advance(3_000);
        const later = watch(locker().lock('j'), clock);
        await settled();
        expect(later.state).toBe('fulfilled');
        // Nothing is held for those who gave up, and nobody keeps their place.
        const info = await one.inspect('k');
        expect(info?.waiters ?? 0).toBe(0);
        expect(info === null).toBe(name !== 'the lock is held elsewhere');
      });
    }
  }

  test('queued behind others of its process lets the next one be served without delay', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const first = await one.lock('k');
    const controller = new AbortController();
    const gone = watch(one.lock('k', { signal: controller.signal }), clock);
    const next = watch(one.lock('k'), clock);
    await clock.advance(10);
    controller.abort('x');
    await first.release();
    await settled();
    expect([gone.reason, next.state, next.at]).toEqual(['x', 'fulfilled', 10]);
  });

  test('its turn has come lets the next locker be served without delay', async () => {
    const { locker, clock, faults } = bench();
    const first = await locker().lock('k');
    const controller = new AbortController();
    const gone = watch(locker().lock('k', { signal: controller.signal }), clock);
    const next = watch(locker().lock('k'), clock);
    await clock.advance(100);
    // The one that is woken asks, and gives up before it has its answer.
    faults.delay(200, { verb: 'acquire' });
    await first.release();
    await clock.advance(50);
    controller.abort('x');
    await settled();
    expect(gone.reason).toBe('x');
    await clock.advance(200);
    expect(next.state).toBe('fulfilled');
  });

  test('the first of several keys is held gives that back', async () => {
    const { locker, clock, free } = bench();
    await locker().lock('b');
    const controller = new AbortController();
    const both = watch(locker().lock(['a', 'b'], { signal: controller.signal }), clock);
    await clock.advance(100);
    expect(await free('a')).toBe(false);
    controller.abort('x');
    await settled();
    expect(both.reason).toBe('x');
    expect(await free('a')).toBe(true);
  });
});

test('in the very tick of the grant: a handle or a free key, never neither', async () => {
  const random = seededRandom(7);
  const counts = { fulfilled: 0, rejected: 0, pending: 0 };
  for (let round = 0; round < 1_000; round++) {
    const { locker, clock, faults, free } = bench();
    const holder = locker();
    const waiting = random() < 0.5 ? holder : locker();
    if (random() < 0.5) {
      faults.delay(2 * Math.ceil(random() * 3), { verb: 'acquire', times: Infinity });
    }
    const taken = watch(holder.lock('k'), clock);
    await clock.advance(10);
    const controller = new AbortController();
    const waiter = watch(waiting.lock('k', { signal: controller.signal }), clock);
    await clock.advance(10);
    const abort = async (): Promise<void> => {
      for (let turns = Math.floor(random() * 8); turns > 0; turns--) await Promise.resolve();
      controller.abort('x');
    };
    const early = random() < 0.5 ? abort() : undefined;
    void taken.value?.release();
    const late = early ?? abort();
    await clock.advance(Math.floor(random() * 8));
    await late;
    await clock.advance(10);
    counts[waiter.state] += 1;
    expect(waiter.value?.signal.reason ?? waiter.reason).toBe('x');
    expect(waiter.value?.state ?? 'held').toBe('held');
    expect((await waiter.value?.release()) ?? true).toBe(true);
    expect(await free('k'), `round ${round}`).toBe(true);
    await clock.advance(20_000);
    expect(clock.timers).toBe(0);
  }
  expect(counts.fulfilled).toBeGreaterThan(50);
  expect(counts.rejected).toBeGreaterThan(50);
});
