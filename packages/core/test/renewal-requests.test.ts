import { describe, expect, test } from 'vitest';
import { bench, variant, watch } from './kit.ts';

describe('a healthy store gets at most holding time / (ttl / 4) + 2 commands per lock', () => {
  test.each([10, 11, 13, 50, 100, 333, 500, 600, 1_000, 1_250, 5_000, 10_000, 60_000])(
    'sends few requests for one lock with a ttl of %d ms',
    async (ttl) => {
      for (const hold of [0, ttl * 0.3, ttl, ttl * 7.9, ttl * 40]) {
        const { locker, clock, sent, faults } = bench();
        const lock = await locker({ ttl }).lock('k');
        if (ttl >= 50) faults.delay(4, { times: Infinity });
        await clock.advance(hold);
        expect(lock.state).toBe('held');
        void lock.release();
        await clock.advance(1_000);
        expect(sent(), `${hold} ms`).toBeLessThanOrEqual(hold / (ttl / 4) + 2);
      }
    },
  );

  test('sends few requests for each of many locks with ttls of all kinds', async () => {
    const { locker, clock, requests } = bench();
    const one = locker();
    const ttls = [10, 35, 50, 90, 100, 250, 400, 1_000, 3_000, 9_000];
    for (const ttl of ttls) {
      await one.lock(`k${ttl}`, { ttl });
      await clock.advance(11);
    }
    await clock.advance(10_000);
    for (const ttl of ttls) {
      const own = requests.filter(({ args }) => JSON.stringify(args).includes(`"k${ttl}"`));
      expect(own.length, `ttl ${ttl}`).toBeLessThanOrEqual(10_120 / (ttl / 4) + 2);
    }
  });
});

describe('one request at a time for a lock', () => {
  test('a renewal, or an extension, waits for the one before', async () => {
    const { locker, clock, faults, requests } = bench();
    const lock = await locker().lock('k', { ttl: 3_000 });
    let open = 0;
    let most = 0;
    const times = (): number => requests.filter(({ verb }) => verb === 'renew').length;
    faults.delay(800, { verb: 'renew', times: Infinity });
    const extensions = Array.from({ length: 4 }, () => watch(lock.extend(), clock));
    for (let i = 0; i < 80; i++) {
      await clock.advance(100);
      open = times() - Math.floor(clock.now() / 800);
      most = Math.max(most, open);
    }
    expect(extensions.map(({ state }) => state)).toEqual(extensions.map(() => 'fulfilled'));
    expect(most).toBeLessThanOrEqual(1);
    lock.assertHeld();
  });

  test('sends one request at a time when the keys of a lock are renewed at different times', async () => {
    const open = new Map<string, number>();
    let most = 0;
    let failures = 2;
    const { locker, clock, faults } = bench((store) =>
      variant(store, {
        renew: async (requests) => {
          for (const { key } of requests) {
            open.set(key, (open.get(key) ?? 0) + 1);
            most = Math.max(most, open.get(key)!);
          }
          const replies = await store.renew(requests);
          for (const { key } of requests) open.set(key, open.get(key)! - 1);
          // One key alone has to be asked for again.
          const fails = (key: string): boolean => key.endsWith('a') && failures-- > 0;
          return replies.map((reply, index) =>
            fails(requests[index]!.key) ? new Error('busy') : reply,
          );
        },
      }),
    );
    const lock = await locker().lock(['a', 'b'], { ttl: 3_000 });
    await clock.advance(1_900);
    faults.delay(900, { verb: 'renew', times: Infinity });
    // Renewing the second key since 2 000; the first one is due at 2 300.
    await clock.advance(200);
    const extended = watch(lock.extend(), clock);
    await clock.advance(3_000);
    expect(extended.state).toBe('fulfilled');
    expect(most).toBe(1);
    lock.assertHeld();
  });
});

describe('after a reconnection', () => {
  test('every held lock is verified at once, whether renewed or not', async () => {
    const { locker, clock, tell, faults, sent } = bench();
    const one = locker();
    const locks = [
      await one.lock('a', { ttl: 60_000 }),
      await one.lock('b', { ttl: 60_000, renew: false }),
      await one.lock(['c', 'd'], { ttl: 60_000 }),
    ];
    const kept = await one.lock('e', { ttl: 60_000 });
    const fixed = await one.lock('f', { ttl: 60_000, renew: false });
    await clock.advance(1_000);
    await faults.evict('a');
    await faults.evict('b');
    await faults.evict('d');
    tell({ type: 'reconnected' });
    await clock.advance(2);
    for (const lock of locks) {
      expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
    }
    expect(sent('renew')).toBe(1);
    kept.assertHeld();
    expect(kept.remaining).toBeGreaterThan(57_998);
    fixed.assertHeld();
    // It was only looked at.
    expect(fixed.remaining).toBeLessThanOrEqual(57_000);
  });

  test('verifies locks again whose renewal was under way, for it may have been sent before', async () => {
    const { locker, clock, tell, faults, requests } = bench();
    const lock = await locker().lock('k', { ttl: 3_000 });
    await clock.advance(900);
    faults.delay(200, { verb: 'renew' });
    await clock.advance(250);
    await faults.evict('k');
    tell({ type: 'reconnected' });
    await clock.advance(100);
    expect(requests.filter(({ verb }) => verb === 'renew').map(({ at }) => at)).toEqual([
      1_000, 1_201,
    ]);
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
  });

  test('waiters ask again', async () => {
    const { locker, clock, tell, faults } = bench();
    const one = locker();
    await locker().lock('k', { ttl: 600_000, renew: false });
    const waiter = watch(one.lock('k'), clock);
    await clock.advance(1_000);
    await faults.forgetEverything();
    tell({ type: 'reconnected' });
    await clock.advance(250);
    expect(waiter.state).toBe('fulfilled');
  });
});

test('what was released because of a loss in the same moment is not renewed', async () => {
  const { locker, clock, faults, sent } = bench();
  const one = locker();
  // Due at 900, when the other one is lost.
  const due = await one.lock('due', { ttl: 2_700 });
  await one.lock('short', { ttl: 1_000, renew: false, onLost: () => void due.release() });
  const rejected: unknown[] = [];
  const note = (reason: unknown): void => void rejected.push(reason);
  process.on('unhandledRejection', note);
  faults.fail({ verb: 'renew', times: Infinity });
  await clock.advance(2_000);
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  process.off('unhandledRejection', note);
  expect(due.state).toBe('released');
  expect([sent('renew'), rejected]).toEqual([0, []]);
});

test('nothing is renewed when nothing is held', async () => {
  const { locker, clock, sent } = bench();
  const one = locker({ ttl: 100 });
  for (let i = 0; i < 10; i++) await (await one.lock(`k${i}`)).release();
  const before = sent();
  await clock.advance(10_000);
  expect(sent()).toBe(before);
  expect(clock.timers).toBe(0);
});
