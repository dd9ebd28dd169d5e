import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  LockLostError,
  LockNotAcquiredError,
  LockStoreError,
  type Lock,
  type StoreEvent,
} from '@holdfast/core';
import { describe, expect } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { test, until, type Site } from './kit/site.ts';

/** How long a promise took to settle, in ms, and what it rejected with. */
async function fails(promise: Promise<unknown>): Promise<{ error: unknown; after: number }> {
  const startedAt = performance.now();
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, after: performance.now() - startedAt };
}

async function lossOf(lock: Lock): Promise<LockLostError> {
  if (!lock.signal.aborted) await once(lock.signal, 'abort');
  return lock.signal.reason as LockLostError;
}

/** In every way in which a server does not answer, and comes back. */
const outages: Record<string, { begin: (site: Site) => unknown; end: (site: Site) => unknown }> = {
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

for (const [what, { begin, end }] of Object.entries(outages)) {
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
      expect(after).toBeGreaterThanOrEqual(1_490);
      expect(after).toBeLessThan(3_000);
    });

    test('a release settles, and so does an abort', async ({ site }) => {
      const locker = site.locker();
      const lock = await locker.lock('key');
      await begin(site);
      const released = lock.release();
      const controller = new AbortController();
      const waiting = fails(locker.lock('other', { signal: controller.signal }));
      const reason = new Error('enough');
      controller.abort(reason);
      expect((await waiting).error).toBe(reason);
      expect(await released).toBe(false);
    });

    test('a held lock lives to its deadline, and is told before it', async ({ site }) => {
      const locker = site.locker({ ttl: 4_000 });
      const lock = await locker.lock('key');
      await begin(site);
      await sleep(1_000);
      expect(lock.state).toBe('held');
      const error = await lossOf(lock);
      expect(error).toBeInstanceOf(LockLostError);
      expect(error.reason).toBe('expired');
      expect(() => lock.assertHeld()).toThrow(LockLostError);
    });

    test('whoever waits gets the lock when it is over', async ({ site }) => {
      const locker = site.locker();
      await locker.withLock('key', () => {});
      await begin(site);
      const waiting = Promise.all(['a', 'b', 'c'].map((key) => locker.lock(key)));
      await sleep(1_500);
      await end(site);
      const locks = await waiting;
      for (const lock of locks) expect(lock.state).toBe('held');
      await Promise.all(locks.map((lock) => lock.release()));
      // Where the server is slow to come back, a release goes on in the background.
      const next = await site.locker().lock(['a', 'b', 'c'], { wait: 15_000 });
      expect(next.state).toBe('held');
    });

    test('what was given up leaves no lock behind', async ({ site }) => {
      const locker = site.locker({ storeTimeout: 300, ttl: 30_000 });
      await locker.withLock('key', () => {});
      await begin(site);
      expect((await fails(locker.tryLock('key'))).error).toBeInstanceOf(LockStoreError);
      expect((await fails(locker.lock('key', { wait: 400 }))).error).toBeInstanceOf(LockStoreError);
      await sleep(1_500);
      await end(site);
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

describe.concurrent('a restarted server', () => {
  test('announces a restart, so that held locks are checked at once', async ({ site }) => {
    const store = memcachedStore(site.client());
    const events: StoreEvent[] = [];
    site.onEnd(store.subscribe('client', (event) => events.push(event)));
    const ask = async () => store.inspect({ key: 'key', client: 'client' });
    await ask();
    await ask();
    expect(events).toEqual([]);
    await site.restart();
    // The first may find the connection broken.
    await ask().catch(ask);
    await ask();
    expect(events).toEqual([{ type: 'reconnected' }]);
  });

  test('has forgotten the lock, which its holder is told at the first answer', async ({ site }) => {
    const lock = await site.locker({ ttl: 60_000 }).lock('key');
    await site.restart();
    const error = await lossOf(lock);
    expect(error.reason).toBe('evicted');
    expect(error.heldFor).toBeLessThan(20_000);
    expect(await site.value('holdfast:key')).toBeUndefined();
  });

  test('counts its CAS ids anew, and the next holder with the same one is left alone', async ({
    site,
  }) => {
    const locker = site.locker({ ttl: 60_000 });
    const first = await locker.lock('key');
    const before = await site.item('holdfast:key');
    await site.restart();
    // The same request, the first of all, to a server that is as young: the same CAS id.
    const next = await site.locker({ ttl: 60_000 }).lock('key');
    expect((await site.item('holdfast:key'))?.cas).toBe(before?.cas);
    expect(await first.release()).toBe(false);
    await next.extend();
    expect(next.state).toBe('held');
    expect(await next.release()).toBe(true);
  });

  test('a renewal does not take over the next holder with the same CAS id', async ({ site }) => {
    const first = await site.locker({ ttl: 60_000 }).lock('key');
    await site.restart();
    const next = await site.locker({ ttl: 60_000 }).lock('key');
    await first.extend().catch(() => {});
    expect((await lossOf(first)).reason).toBe('stolen');
    await next.extend();
    expect(next.state).toBe('held');
  });
});
