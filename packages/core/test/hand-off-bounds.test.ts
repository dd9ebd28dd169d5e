import { describe, expect, test } from 'vitest';
import type { AcquireRequest } from '../src/index.ts';
import { bench, settled, variant, watch } from './kit.ts';

describe('the bounds of a hand-off', () => {
  test('default to 128 hand-offs and 50 ms, after which one request gives a new block', async () => {
    const { locker, clock, requests } = bench();
    const one = locker();
    const runs = Array.from({ length: 400 }, () => one.withLock('k', () => {}));
    await clock.advance(10);
    await Promise.all(runs);
    const acquires = requests.filter(({ verb }) => verb === 'acquire');
    // 129 holders a block: 129, 258, 387, 400.
    expect(acquires).toHaveLength(4);
    for (const { args } of acquires) {
      expect((args[0] as AcquireRequest).tokens).toBe(129);
    }
    const others = requests.filter(({ verb }) => verb !== 'acquire');
    expect(others.map(({ verb }) => verb)).toEqual(['release']);
  });

  test('may be set', async () => {
    for (const max of [1, 3, 10]) {
      const { locker, sent } = bench();
      const one = locker({ handoff: { max } });
      await Promise.all(Array.from({ length: 44 }, () => one.withLock('k', () => {})));
      expect(sent('acquire')).toBe(Math.ceil(44 / (max + 1)));
    }
  });

  test('let another process in: it waits no longer than they allow', async () => {
    for (const [handoff, most] of [
      [{ max: 5 }, 5],
      [{ max: 128, tenure: 30 }, 3],
      [false, 1],
    ] as const) {
      const { locker, clock } = bench();
      const greedy = locker({ handoff });
      const other = locker();
      const order: string[] = [];
      const work = (name: string) => async (): Promise<void> => {
        order.push(name);
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 10));
      };
      const runs = Array.from({ length: 30 }, () => greedy.withLock('k', work('greedy')));
      runs.push(other.withLock('k', work('other')));
      await clock.advance(1_000);
      await Promise.all(runs);
      // After the first holder, so many more; with no hand-off, the one who was in line before it.
      expect(order.indexOf('other')).toBeLessThanOrEqual(most + 1);
    }
  });

  test('between processes: first come, first served, each with its bound', async () => {
    const { locker, clock } = bench();
    const lockers = [locker, locker, locker].map((make) => make({ handoff: { max: 1 } }));
    const order: number[] = [];
    const runs = lockers.flatMap((one, index) =>
      Array.from({ length: 6 }, () => one.withLock('k', () => void order.push(index))),
    );
    await clock.advance(100);
    await Promise.all(runs);
    expect(order).toEqual([0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
  });
});

describe('what is left of a lease', () => {
  test.each([
    [960, 0],
    [980, 1],
  ])('must be a third of its ttl: %d ms after it was confirmed', async (age, asked) => {
    // With the widest margin, and clocks that are not shared, the signal point is at 1 968.
    const { locker, clock, sent } = bench((store) =>
      variant(store, { capabilities: { ...store.capabilities, sharedClock: false } }),
    );
    const one = locker({ ttl: 3_000, safetyMargin: 1_000, handoff: { tenure: 10_000 } });
    const lock = await one.lock('k');
    const next = watch(one.lock('k'), clock);
    await clock.advance(age);
    const before = sent('acquire');
    await lock.release();
    await settled();
    expect(sent('acquire') - before).toBe(asked);
    expect(next.value?.state).toBe('held');
    expect(next.value?.remaining).toBeGreaterThanOrEqual(1_000);
  });

  test('passes nothing on from before an extension to less', async () => {
    const { locker, clock, sent } = bench();
    const one = locker();
    const lock = await one.lock('k', { ttl: 10_000 });
    await lock.extend(1_000);
    const next = watch(one.lock('k', { ttl: 1_000 }), clock);
    const before = sent('acquire');
    await lock.release();
    await settled();
    expect(sent('acquire')).toBe(before + 1);
    expect(next.value?.remaining).toBe(900);
  });
});
