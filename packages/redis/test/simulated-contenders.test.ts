import { createLocker, LockNotAcquiredError, LockStoreError, type Locker } from '@holdfast/core';
import type { VirtualClock } from '@holdfast/testing';
import { describe, expect, test } from 'vitest';
import {
  combinations,
  forAll,
  processOf,
  QUICK,
  requestOf,
  same,
  worldOf,
  type Process,
  type World,
} from './quorum-simulation.ts';

// Two processes that want one lock: each server hears of the first before the second, of the second
// before the first, of one alone, or of none.

type Order = 'first' | 'second' | 'only-first' | 'only-second' | 'none';
const ORDERS: readonly Order[] = ['first', 'second', 'only-first', 'only-second', 'none'];

interface Contention {
  readonly world: World;
  readonly first: Process;
  readonly second: Process;
}

function contention(orders: readonly Order[], clock: VirtualClock, failing = false): Contention {
  const world = worldOf(orders.length, clock);
  const [first, second] = [processOf(world), processOf(world)];
  for (const [index, order] of orders.entries()) {
    const one = first.nodes[index] as Process['nodes'][number];
    const other = second.nodes[index] as Process['nodes'][number];
    const cut = failing ? 'failing' : 'hanging';
    if (order === 'first') other.latency = QUICK + 1;
    if (order === 'second') one.latency = QUICK + 1;
    if (order === 'only-first' || order === 'none') other.mode = cut;
    if (order === 'only-second' || order === 'none') one.mode = cut;
  }
  return { world, first, second };
}

const sleep = (clock: VirtualClock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.setTimeout(resolve, ms);
  });

const count = (orders: readonly Order[], ...wanted: Order[]): number =>
  orders.filter((order) => wanted.includes(order)).length;

const granted = (reply: Promise<{ granted: boolean }>): Promise<boolean> =>
  reply.then(
    (answer) => answer.granted,
    () => false,
  );

describe.each([3, 5])('of %i servers, in every order', (size) => {
  const all = combinations(ORDERS, size);
  const majority = (size + 1) / 2;

  test.each([true, false])('never two are granted (single attempts: %s)', async (single) => {
    let neither = 0;
    await forAll(
      all,
      async (orders, clock) => {
        const { first, second } = contention(orders, clock);
        const wait = !single;
        const from = clock.now();
        const [one, other] = await Promise.all([
          granted(first.store.acquire(requestOf('one', { wait }))),
          granted(second.store.acquire(requestOf('other', { wait }))),
        ]);
        same(one && other, false, orders);
        same(clock.now() - from <= 400, true, orders);
        if (count(orders, 'first', 'only-first') >= majority) same(one, true, orders);
        if (count(orders, 'second', 'only-second') >= majority) same(other, true, orders);
        if (!one && !other) neither += 1;
      },
      5_000,
    );
    expect(neither).toBeGreaterThan(0);
  });

  test('both settle: those who reach a majority get it, one after the other', async () => {
    let checked = 0;
    const some = size === 3 ? all : all.filter((_, index) => index % 7 === 0);
    await forAll(
      some,
      async (orders, clock) => {
        const { first, second } = contention(orders, clock, true);
        let holders = 0;
        const work = async (locker: Locker): Promise<string> => {
          try {
            return await locker.withLock('key', { ttl: 1_000, wait: 10_000 }, async () => {
              holders += 1;
              same(holders, 1, orders);
              await sleep(clock, 50);
              holders -= 1;
              return 'done';
            });
          } catch (error) {
            if (error instanceof LockStoreError) return 'failed';
            if (error instanceof LockNotAcquiredError) return 'busy';
            throw error;
          }
        };
        const lockers = [first, second].map(({ store }) => createLocker({ store, clock }));
        const [one, other] = await Promise.all(lockers.map(work));
        const reached = (only: Order): number => count(orders, 'first', 'second', only);
        const should = (only: Order): string => (reached(only) >= majority ? 'done' : 'failed');
        same([one, other], [should('only-first'), should('only-second')], orders);
        checked += 1;
        for (const locker of lockers) void locker.close();
      },
      30_000,
    );
    expect(checked).toBe(some.length);
  });
});

test('of many that try once at the same time, one gets it most of the time', async () => {
  let winners = 0;
  const ROUNDS = 50;
  await forAll(
    Array.from({ length: ROUNDS }, (_, index) => index),
    async (round, clock) => {
      const world = worldOf(3, clock);
      const processes = Array.from({ length: 3 }, () => processOf(world));
      // Each is the first at one of the servers: without a second attempt nobody would get it.
      for (const [index, { nodes }] of processes.entries()) {
        for (const [place, node] of nodes.entries()) node.latency = place === index ? 1 : 1.5;
      }
      const replies = await Promise.all(
        processes.map(({ store }, index) =>
          granted(store.acquire(requestOf(`${round}-${index}`, { wait: false }))),
        ),
      );
      const won = replies.filter(Boolean).length;
      expect(won).toBeLessThanOrEqual(1);
      winners += won;
    },
    5_000,
  );
  expect(winners).toBeGreaterThan(ROUNDS * 0.8);
});
