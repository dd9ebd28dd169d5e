import { describe, expect, test } from 'vitest';
import { createLocker, memoryStore, RESERVATION, type LockStore } from '../src/index.ts';
import { variant, virtualClock, watch, type VirtualClock } from './kit.ts';

/** A store to which requests take so long, in ms, and from which replies and messages take so long. */
function farAway(store: LockStore, clock: VirtualClock, there: number, back: number): LockStore {
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => void clock.setTimeout(resolve, ms));
  const slow = <A extends unknown[], R>(run: (...args: A) => R) =>
    async function (...args: A): Promise<Awaited<R>> {
      await pause(there);
      const reply = await run(...args);
      await pause(back);
      return reply;
    };
  return variant(store, {
    acquire: slow((request) => store.acquire(request)),
    release: slow((request) => store.release(request)),
    renew: slow((requests) => store.renew(requests)),
    refresh: slow((client, keys) => store.refresh?.(client, keys) ?? []),
    leave: slow((client, key) => store.leave?.(client, key)),
    subscribe: (client, listener) =>
      store.subscribe(client, (event) => void clock.setTimeout(() => listener(event), back)),
  });
}

/** How long it took until each of so many processes had locked a key twice, in virtual ms. */
async function contention(
  { there, back, limit }: { there: number; back: number; limit: number },
  processes: number,
  seed: number,
): Promise<number> {
  const clock = virtualClock({ seed });
  const store = farAway(memoryStore({ clock }), clock, there, back);
  const twice = async (): Promise<void> => {
    const locker = createLocker({ store, clock, ttl: 20_000, storeTimeout: 5_000 });
    await locker.withLock('k', { limit }, () => {});
    await locker.withLock('k', { limit }, () => {});
  };
  const all = Promise.all(
    Array.from({ length: processes }, async () => {
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, clock.random!() * 1_000));
      await twice();
    }),
  );
  const served = watch(all, clock);
  while (served.at === undefined && clock.now() < 600_000) await clock.advance(1_000);
  return served.at ?? Infinity;
}

describe.each([
  { there: 0, back: RESERVATION + 200, limit: 1 },
  { there: RESERVATION + 200, back: 0, limit: 1 },
  { there: RESERVATION, back: RESERVATION, limit: 1 },
  { there: RESERVATION, back: RESERVATION, limit: 2 },
])('with $there ms to the store, $back ms from it and a limit of $limit', (far) => {
  test.each([2, 3, 5, 10])(
    '%i processes are all served, although each reservation is over before it can be used',
    async (processes) => {
      for (let seed = 1; seed <= 5; seed++) {
        const took = await contention(far, processes, seed);
        expect(took, `seed ${seed}`).toBeLessThan(10_000 + processes * 10_000);
      }
    },
  );
});
