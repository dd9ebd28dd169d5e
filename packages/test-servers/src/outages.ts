import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  LockLostError,
  LockNotAcquiredError,
  LockStoreError,
  type Locker,
  type LockerOptions,
} from '@holdfast/core';
import { describe, expect } from 'vitest';
import { fails, until, type TestSite } from './site.ts';

/** A site on which lockers can be made, each with a client of its own. */
export interface LockerSite extends TestSite {
  locker(options?: LockerOptions): Locker;
}

/** In every way in which a server does not answer, and comes back. */
const outages: Record<
  string,
  { begin: (site: TestSite) => unknown; end: (site: TestSite) => unknown }
> = {
  'is frozen (SIGSTOP)': {
    begin: (site) => site.freeze(),
    end: ({ server }) => server.thaw(),
  },
  'is killed (SIGKILL)': {
    begin: ({ server }) => server.kill(),
    end: (site) => site.restart(),
  },
  'gets no requests': {
    begin: ({ proxy }) => proxy.dropRequests(),
    end: ({ proxy }) => proxy.heal(),
  },
  'is not heard': {
    begin: ({ proxy }) => proxy.dropReplies(),
    end: ({ proxy }) => proxy.heal(),
  },
};

/** How a store differs from others in an outage. */
export interface OutageTraits {
  /** Requests and replies that were swallowed never come: whether connections are cut to end them. */
  readonly cutAfter: boolean;
  /** Whether a release is confirmed as soon as the server is back, and not in the background. */
  readonly confirmsAtOnce: boolean;
}

/** The `test` of a package, whose fixture is a site of its own kind. */
type SiteTest = (name: string, body: (context: { site: LockerSite }) => Promise<void>) => unknown;

/** What every store on a server has to do when that does not answer. */
export function describeOutages(test: SiteTest, { cutAfter, confirmsAtOnce }: OutageTraits): void {
  for (const [what, { begin, end }] of Object.entries(outages)) {
    const isOver = async (site: LockerSite): Promise<void> => {
      await end(site);
      if (cutAfter) site.proxy.cutAll();
    };

    describe.concurrent(`while the server ${what}`, () => {
      test('a single attempt is an error within `storeTimeout`', async ({ site }) => {
        const locker = site.locker({ storeTimeout: 500 });
        await locker.withLock('key', () => {});
        await begin(site);
        const { error, after } = await fails(locker.tryLock('key'));
        expect(error).toBeInstanceOf(LockStoreError);
        expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', permanent: false });
        expect(after).toBeLessThan(1_500);
      });

      test('a limited wait is an error at its limit, not before', async ({ site }) => {
        const locker = site.locker();
        await locker.withLock('key', () => {});
        await begin(site);
        const { error, after } = await fails(locker.lock('key', { wait: 1_500 }));
        expect(error).toBeInstanceOf(LockStoreError);
        expect(after).toBeGreaterThan(1_400);
        expect(after).toBeLessThan(3_000);
      });

      test('a release settles, and so does an abort', async ({ site }) => {
        const locker = site.locker();
        const lock = await locker.lock('key');
        await begin(site);
        const released = lock.release();
        const settled = fails(released);
        const controller = new AbortController();
        const waiting = fails(locker.lock('other', { signal: controller.signal }));
        const reason = new Error('enough');
        controller.abort(reason);
        expect((await waiting).error).toBe(reason);
        expect(await released).toBe(false);
        expect((await settled).after).toBeLessThan(2_000);
      });

      test('a held lock lives to its deadline, and is told before it', async ({ site }) => {
        const locker = site.locker({ ttl: 4_000 });
        const askedAt = performance.now();
        const lock = await locker.lock('key');
        await begin(site);
        if (!lock.signal.aborted) await once(lock.signal, 'abort');
        // The ttl, less its margin of 400 ms and what clocks may drift.
        expect(performance.now() - askedAt).toBeGreaterThan(3_400);
        expect(lock.signal.reason).toBeInstanceOf(LockLostError);
        expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
        expect(() => lock.assertHeld()).toThrow(LockLostError);
      });

      test('whoever waits gets the lock when it is over', async ({ site }) => {
        const locker = site.locker();
        await locker.withLock('key', () => {});
        await begin(site);
        const waiting = Promise.all(['a', 'b', 'c'].map((key) => locker.lock(key)));
        await sleep(1_500);
        await isOver(site);
        const locks = await waiting;
        for (const lock of locks) expect(lock.state).toBe('held');
        const freed = await Promise.all(locks.map((lock) => lock.release()));
        if (confirmsAtOnce) expect(freed).toEqual([true, true, true]);
        // Where the server is slow to come back, a release goes on in the background.
        const next = await site.locker().lock(['a', 'b', 'c'], { wait: 15_000 });
        expect(next.state).toBe('held');
      });

      test('what was given up leaves no lock behind', async ({ site }) => {
        const locker = site.locker({ storeTimeout: 300, ttl: 30_000 });
        await locker.withLock('warm-up', () => {});
        await begin(site);
        const single = await fails(locker.tryLock('key'));
        expect(single.error).toBeInstanceOf(LockStoreError);
        const waited = await fails(locker.lock('key', { wait: 400 }));
        expect(waited.error).toBeInstanceOf(LockStoreError);
        await sleep(1_500);
        await isOver(site);
        // A lock that was left behind would be in the way for 30 s.
        const lock = await site.locker().lock('key', { wait: 15_000 });
        expect(lock.state).toBe('held');
      });
    });
  }

  describe.concurrent('a short outage', () => {
    test('loses no lock in a short outage', async ({ site }) => {
      const locker = site.locker({ ttl: 12_000 });
      const lock = await locker.lock('key');
      await site.freeze();
      await sleep(3_000);
      site.server.thaw();
      let renewed = 0;
      locker.on('renewed', () => (renewed += 1));
      await until('it is renewed again', () => renewed > 0);
      expect(lock.state).toBe('held');
      expect(await site.locker().tryLock('key')).toBeNull();
      expect(await lock.release()).toBe(true);
    });

    test('loses no lock when connections are cut for a while', async ({ site }) => {
      const locker = site.locker({ ttl: 10_000 });
      const locks = await Promise.all(['a', 'b', 'c'].map((key) => locker.lock(key)));
      for (let round = 0; round < 5; round++) {
        site.proxy.cutAll();
        await Promise.all(locks.map((lock) => lock.extend()));
      }
      expect(locks.map((lock) => lock.state)).toEqual(['held', 'held', 'held']);
      const freed = await Promise.all(locks.map((lock) => lock.release()));
      expect(freed).toEqual([true, true, true]);
    });

    test('does not make an outage of a busy lock', async ({ site }) => {
      const holder = await site.locker().lock('key');
      site.proxy.delayReplies(200);
      const { error } = await fails(site.locker().lock('key', { wait: 4_000 }));
      expect(error).toBeInstanceOf(LockNotAcquiredError);
      expect(await holder.release()).toBe(true);
    });
  });
}
