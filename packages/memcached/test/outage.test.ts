import { once } from 'node:events';
import type { Lock, LockLostError, StoreEvent } from '@holdfast/core';
import { describeOutages } from '@holdfast/test-servers';
import { describe, expect } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { test } from './kit/site.ts';

async function lossOf(lock: Lock): Promise<LockLostError> {
  if (!lock.signal.aborted) await once(lock.signal, 'abort');
  return lock.signal.reason as LockLostError;
}

describeOutages(test, { cutAfter: false, confirmsAtOnce: false });

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
