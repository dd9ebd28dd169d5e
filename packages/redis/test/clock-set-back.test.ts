import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, type Locker } from '@holdfast/core';
import { redisQuorum } from '@holdfast/redis';
import { hasOwnClock, ownClock, type OwnClock } from '@holdfast/test-servers';
import type { Redis } from 'ioredis';
import { describe, expect, test as base } from 'vitest';
import { Site, until, waiting } from './site.ts';

const HOUR = 3_600;

/** A Redis whose clock is its own, and is set back by an hour once more with each `setBack`. */
const test = base.extend<{ site: Site; setBack: () => Promise<void> }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest wants one
  site: async ({}, use) => {
    const clock = await ownClock();
    const site = await Site.start([], clock.env);
    clocks.set(site, clock);
    await use(site);
    await site.end();
    await clock.remove();
  },
  setBack: async ({ site }, use) => {
    let hours = 0;
    await use(async () => {
      const before = await serverTime(site);
      hours += 1;
      await clocks.get(site)?.setBack(hours * HOUR);
      // Else the test would show nothing.
      expect(before - (await serverTime(site))).toBeGreaterThan(HOUR - 600);
    });
  },
});

const clocks = new WeakMap<Site, OwnClock>();

async function serverTime({ admin }: Site): Promise<number> {
  return Number((await admin.time())[0]);
}

/** As a process that has ended without a word: what it has on the server stays. */
async function crashing<T>(site: Site, use: (locker: Locker) => Promise<T>): Promise<T> {
  const client = site.client();
  const used = await use(site.locker({ ttl: 2_000 }, client));
  client.disconnect();
  return used;
}

// Where no library can be put before others, no server can have a clock of its own.
describe.runIf(hasOwnClock).concurrent('a server whose clock is set back by an hour', () => {
  test('lets a holder keep its lock, renew it, and pass it on', async ({ site, setBack }) => {
    const [holder, other] = [site.locker({ ttl: 3_000 }), site.locker()];
    const lock = await holder.lock('key');
    const { taken } = await waiting(other, () => other.lock('key', { wait: 60_000 }));
    let granted = false;
    void taken.then(() => (granted = true));
    await setBack();
    let renewed = 0;
    holder.on('renewed', () => (renewed += 1));
    // For longer than a lease.
    await until('it was renewed', () => renewed >= 4 || lock.state !== 'held', 60_000);
    expect({ state: lock.state, granted }).toEqual({ state: 'held', granted: false });
    expect(await lock.release()).toBe(true);
    const next = await taken;
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    expect(await next.release()).toBe(true);
  });

  test('gives the lock of a holder that has crashed away after its lease, to who waited before', async ({
    site,
    setBack,
  }) => {
    const lock = await crashing(site, (locker) => locker.lock('key'));
    const other = site.locker();
    const { taken } = await waiting(other, () => other.lock('key', { wait: 60_000 }));
    await setBack();
    const next = await taken;
    // Not before: its holder has known since that it is over.
    expect(lock.state).toBe('lost');
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    await next.extend();
    expect(next.state).toBe('held');
  });

  test('gives it away after its lease, to who comes later', async ({ site, setBack }) => {
    const lock = await crashing(site, (locker) => locker.lock('key'));
    await setBack();
    const tries = site.locker();
    await until('it is free', async () => (await tries.tryLock('key')) !== null, 60_000);
    expect(lock.state).toBe('lost');
  });

  test('frees what is kept busy when that is over', async ({ site, setBack }) => {
    const lock = await site.locker().lock('key', { holdAtLeast: 2_000 });
    expect(await lock.release()).toBe(true);
    await setBack();
    const next = await site.locker().lock('key', { wait: 60_000 });
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
  });

  test('passes over those who waited and have crashed', async ({ site, setBack }) => {
    const lock = await site.locker({ ttl: 60_000 }).lock('key');
    for (let waiters = 0; waiters < 3; waiters++) {
      await crashing(site, (locker) => waiting(locker, () => locker.lock('key')));
    }
    await setBack();
    const other = site.locker();
    const { taken } = await waiting(other, () => other.lock('key', { wait: 60_000 }));
    await lock.release();
    expect((await taken).fencingToken).toBeGreaterThan(lock.fencingToken);
  });

  test('grants growing tokens', async ({ site, setBack }) => {
    const locker = site.locker();
    let last = 0;
    for (let round = 0; round < 3; round++) {
      for (let times = 0; times < 3; times++) {
        await locker.withLock('key', ({ fencingToken }) => {
          expect(fencingToken).toBeGreaterThan(last);
          last = fencingToken;
        });
      }
      await setBack();
    }
  });

  test('never lets two in, and keeps nobody out, also when it happens again', async ({
    site,
    setBack,
  }) => {
    let inside = 0;
    let last = 0;
    let done = 0;
    const task = async (locker: Locker): Promise<void> => {
      for (let round = 0; round < 30; round++) {
        await locker.withLock('key', { wait: 120_000 }, async (lock) => {
          inside += 1;
          expect(inside).toBe(1);
          expect(lock.fencingToken).toBeGreaterThan(last);
          last = lock.fencingToken;
          await sleep(10);
          lock.assertHeld();
          inside -= 1;
        });
        done += 1;
      }
    };
    const tasks = [1, 2, 3].map(() => task(site.locker({ ttl: 5_000 })));
    for (const turns of [10, 40]) {
      await until('some had their turns', () => done > turns, 60_000);
      await setBack();
    }
    await Promise.all(tasks);
    expect(done).toBe(90);
  });

  test('gives the lock of a holder that has crashed away after its lease, on a quorum of one', async ({
    site,
    setBack,
  }) => {
    const on = (client: Redis): Locker => {
      const locker = createLocker({ store: redisQuorum([client]), ttl: 2_000 });
      site.onEnd(() => locker.close());
      return locker;
    };
    const crashes = site.client();
    const lock = await on(crashes).lock('key');
    crashes.disconnect();
    await setBack();
    await on(site.client()).lock('key', { wait: 60_000 });
    expect(lock.state).toBe('lost');
  });
});
