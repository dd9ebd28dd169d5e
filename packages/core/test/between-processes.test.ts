import { describe, expect, test } from 'vitest';
import { RESERVATION, type AcquireRequest, type Lock } from '../src/index.ts';
import { bench, settled, variant, watch, type Bench } from './kit.ts';

/** A client that waited and is gone, or frozen: its place in the queue is all there is of it. */
async function deadWaiter({ memory }: Bench, client: string): Promise<void> {
  const request: AcquireRequest = {
    key: 'k',
    id: client,
    owner: client,
    label: client,
    ttl: 10_000,
    tokens: 1,
    client,
    wait: true,
  };
  expect(await memory.acquire(request)).toMatchObject({ granted: false });
}

describe('one contender per locker and key talks to the store', () => {
  test('costs the store no more when more callers of a process wait', async () => {
    const costs: number[] = [];
    for (const waiters of [1, 10, 1_000]) {
      const { locker, clock, sent } = bench();
      await locker().lock('k', { ttl: 3_600_000 });
      const one = locker();
      for (let i = 0; i < waiters; i++) void one.lock('k', { wait: 20_000 }).catch(() => {});
      await clock.advance(10_000);
      costs.push(sent());
    }
    expect(costs[1]).toBe(costs[0]);
    expect(costs[2]).toBe(costs[0]);
    expect(costs[0]).toBeLessThanOrEqual(2 + 10_000 / 400);
  });

  test('refreshes the registrations of all keys in one request', async () => {
    const { locker, clock, requests } = bench();
    const holder = locker({ ttl: 3_600_000 });
    const one = locker();
    for (let i = 0; i < 200; i++) {
      await holder.lock(`k${i}`);
      void one.lock(`k${i}`, { wait: 20_000 }).catch(() => {});
    }
    const before = requests.length;
    await clock.advance(3_000);
    const later = requests.slice(before).map(({ verb }) => verb);
    expect(later.length).toBeLessThanOrEqual(7);
    expect(new Set(later)).toEqual(new Set(['refresh']));
  });

  test('serves waiters on one key without hindering those on another', async () => {
    const { locker, clock } = bench();
    const one = locker();
    await locker().lock('a');
    const b = await locker().lock('b');
    for (let i = 0; i < 200; i++) void one.lock('a', { wait: 20_000 }).catch(() => {});
    const waiter = watch(one.lock('b'), clock);
    await clock.advance(1_000);
    await b.release();
    await settled();
    expect(waiter).toMatchObject({ state: 'fulfilled', at: 1_000 });
  });
});

describe('a release wakes exactly one process', () => {
  test('the one that came first', async () => {
    const { locker, clock, requests } = bench();
    const holder = await locker().lock('k');
    const waiters = Array.from({ length: 10 }, () => watch(locker().lock('k'), clock));
    const before = requests.length;
    await holder.release();
    await settled();
    expect(waiters.map(({ state }) => state === 'fulfilled')).toEqual(
      waiters.map((_, index) => index === 0),
    );
    expect(requests.slice(before).map(({ verb }) => verb)).toEqual(['release', 'acquire']);
  });

  test('serves the next process in the order of arrival', async () => {
    const { locker, clock } = bench();
    const order: number[] = [];
    const lockers = [locker(), locker()];
    const runs = [];
    for (let i = 0; i < 10; i++) {
      const work = async (): Promise<void> => {
        order.push(i);
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 20));
      };
      // Each a process of its own, so that no hand-off comes in between.
      runs.push((i % 2 === 0 ? locker() : lockers[1]!).withLock('k', work));
      if (i % 2 === 1) lockers[1] = locker();
      await clock.advance(5);
    }
    await clock.advance(300);
    await Promise.all(runs);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(clock.now()).toBeLessThanOrEqual(350);
  });

  test('counts the lease from the request of the woken process, not from the wake-up', async () => {
    const { locker, clock, faults } = bench();
    const holder = await locker().lock('k');
    const waiter = watch(locker({ ttl: 1_000 }).lock('k'), clock);
    await clock.advance(100);
    faults.delay(300, { verb: 'acquire' });
    await holder.release();
    // Woken, but it holds nothing before its own request is granted.
    expect(waiter.state).toBe('pending');
    await clock.advance(300);
    expect(waiter.value?.remaining).toBe(600);
  });

  test('a message that is lost is made up for', async () => {
    const world = bench();
    const { locker, clock, memory } = world;
    // This one is told nothing.
    const deaf = variant(memory, { subscribe: () => () => {} });
    const holder = await locker().lock('k');
    const waiter = watch(locker({ store: deaf }).lock('k'), clock);
    await clock.advance(10_000);
    await holder.release();
    await clock.advance(2_000);
    expect(waiter.state).toBe('fulfilled');
  });
});

describe('those in line who are gone', () => {
  for (const dead of [1, 3, 50]) {
    test(`${dead} dead ones delay the next live one by 2 s at most`, async () => {
      const world = bench();
      const { locker, clock } = world;
      const holder = await locker().lock('k');
      for (let i = 0; i < dead; i++) await deadWaiter(world, `dead-${i}`);
      const waiter = watch(locker().lock('k'), clock);
      await clock.advance(10);
      await holder.release();
      expect(waiter.state).toBe('pending');
      await clock.advance(2_000);
      expect(waiter.state).toBe('fulfilled');
    });

    test(`${dead} dead ones, also where the holder crashed`, async () => {
      const world = bench();
      const { locker, clock } = world;
      await locker().lock('k', { ttl: 1_000, renew: false });
      const waiter = watch(locker().lock('k'), clock);
      for (let i = 0; i < dead; i++) await deadWaiter(world, `dead-${i}`);
      const last = watch(locker().lock('k'), clock);
      await clock.advance(1_000);
      expect(waiter.state).toBe('fulfilled');
      await waiter.value?.release();
      await clock.advance(2_000);
      expect(last.state).toBe('fulfilled');
    });
  }

  test('one who gave up is passed over at once', async () => {
    const { locker, clock } = bench();
    const holder = await locker().lock('k');
    const controller = new AbortController();
    void locker()
      .lock('k', { signal: controller.signal })
      .catch(() => {});
    const next = watch(locker().lock('k'), clock);
    await clock.advance(100);
    controller.abort();
    await holder.release();
    await settled();
    expect(next).toMatchObject({ state: 'fulfilled', at: 100 });
  });

  test('one who closes is passed over at once', async () => {
    const { locker, clock, faults } = bench();
    const holder = await locker().lock('k');
    const leaving = locker();
    void leaving.lock('k').catch(() => {});
    const next = watch(locker().lock('k'), clock);
    await clock.advance(100);
    // It is woken, and closes before its request is through.
    faults.delay(40, { verb: 'acquire' });
    await holder.release();
    void leaving.close();
    await clock.advance(100);
    expect(next.state).toBe('fulfilled');
  });

  test('a reservation keeps others out, but not for long', async () => {
    const world = bench();
    const { locker, clock } = world;
    const holder = await locker().lock('k');
    await deadWaiter(world, 'dead');
    await holder.release();
    let lock: Lock | null = null;
    while (lock === null) {
      await clock.advance(10);
      lock = await locker().tryLock('k');
    }
    expect(clock.now()).toBe(RESERVATION);
  });
});

describe('a waiter whose own time-out has passed', () => {
  test('does not keep its place from the next of its process', async () => {
    const { locker, clock } = bench();
    const holder = await locker().lock('k');
    const one = locker();
    const first = watch(one.lock('k', { wait: 50 }), clock);
    const second = watch(one.lock('k'), clock);
    await clock.advance(60);
    expect(first.state).toBe('rejected');
    await holder.release();
    await settled();
    expect(second).toMatchObject({ state: 'fulfilled', at: 60 });
  });

  test('was there, and leaves its process in line before a later one', async () => {
    const { locker, clock } = bench();
    const holder = await locker().lock('k');
    const one = locker();
    void one.lock('k', { wait: 50 }).catch(() => {});
    const second = watch(one.lock('k'), clock);
    await clock.advance(10);
    const other = watch(locker().lock('k'), clock);
    await clock.advance(100);
    await holder.release();
    await settled();
    expect([second.state, other.state]).toEqual(['fulfilled', 'pending']);
  });
});

test('200 waiters of many processes all get their turn, and nothing is left', async () => {
  const { locker, clock, memory, free } = bench();
  const lockers = Array.from({ length: 20 }, () => locker());
  let inside = 0;
  let last = 0;
  const runs = Array.from({ length: 200 }, (_, index) =>
    watch(
      lockers[index % 20]!.withLock('k', async ({ fencingToken }) => {
        inside += 1;
        expect(inside).toBe(1);
        expect(fencingToken).toBeGreaterThan(last);
        last = fencingToken;
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 3));
        inside -= 1;
      }),
      clock,
    ),
  );
  await clock.advance(1_000);
  expect(runs.filter(({ state }) => state !== 'fulfilled')).toEqual([]);
  expect(await free('k')).toBe(true);
  expect(await memory.inspect({ key: 'k', client: '' })).toBeNull();
  await clock.advance(10_000);
  expect(clock.timers).toBe(0);
});
