import { createLocker, LockLostError, LockStoreError, type Lock } from '@holdfast/core';
import { describe, expect, test } from 'vitest';
import { outcome, world, type World } from './kit.ts';

describe('a lock', () => {
  const held = async (options = {}): Promise<World & { lock: Lock }> => {
    const made = world();
    return { ...made, lock: await made.locker.lock('k', { ttl: 3_000, ...options }) };
  };

  test('learns of a theft at its next renewal, and the thief has the lock for a while', async () => {
    const { store, clock, lock, locker } = await held();
    expect(await store.steal('k', { ttl: 2_000 })).toBe(true);
    expect(lock.state).toBe('held');
    expect(await locker.inspect('k')).toMatchObject({ label: 'thief' });
    await clock.advance(1_000);
    expect(lock.signal.reason).toBeInstanceOf(LockLostError);
    expect(lock.signal.reason).toMatchObject({ reason: 'stolen' });
    expect(await locker.tryLock('k')).toBeNull();
    await clock.advance(1_000);
    expect((await locker.tryLock('k'))!.fencingToken).toBeGreaterThan(lock.fencingToken);
  });

  test('loses its lock to a thief for 10 s by default, past those who wait', async () => {
    const { store, clock, locker } = await held();
    const waiting = locker.lock('k');
    expect(await store.steal('k')).toBe(true);
    expect(await outcome(waiting, clock, 9_999)).toBe('nothing');
    expect(await outcome(waiting, clock, 1_000)).toMatchObject({ state: 'held' });
  });

  test('learns of an eviction at its next renewal', async () => {
    const { store, clock, lock, locker } = await held();
    expect(await store.evict('k')).toBe(true);
    expect(lock.state).toBe('held');
    await clock.advance(1_000);
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
    expect(await locker.tryLock('k')).not.toBeNull();
  });

  test('counts as stolen when it is evicted and taken by another', async () => {
    const { store, inner, clock, lock } = await held();
    await store.evict('k');
    const other = createLocker({ store: inner, clock });
    expect(await other.tryLock('k')).not.toBeNull();
    await clock.advance(1_000);
    expect(lock.signal.reason).toMatchObject({ reason: 'stolen' });
  });

  test('leaves a lock of another namespace alone', async () => {
    const { store, clock, inner } = world();
    const lock = await createLocker({ store, clock, namespace: 'mine' }).lock('k');
    expect(await store.steal('k')).toBe(false);
    expect(await store.evict('k')).toBe(false);
    expect(await store.steal('k', { namespace: 'mine' })).toBe(true);
    await lock.extend().catch(() => {});
    expect(lock.signal.reason).toMatchObject({ reason: 'stolen' });
    const next = createLocker({ store: inner, clock, namespace: 'mine' });
    expect(await next.tryLock('k')).toBeNull();
    expect(await store.evict('none', { namespace: 'mine' })).toBe(false);
  });

  test('answers false when nobody holds the lock to steal or evict', async () => {
    const { store, lock } = await held();
    await lock.release();
    expect(await store.evict('k')).toBe(false);
    expect(await store.steal('k')).toBe(false);
    expect(await store.steal('unknown')).toBe(false);
    expect(await store.evict('unknown')).toBe(false);
  });

  test('forgets all locks, and those who wait', async () => {
    const { store, inner, clock, lock, locker } = await held({ ttl: 60_000, renew: false });
    const other = await locker.lock('j', { ttl: 60_000, renew: false });
    const waiting = createLocker({ store, clock }).lock('k', { wait: 20_000 });
    await clock.advance(10);
    await store.forgetEverything();
    expect(await inner.inspect({ key: 'k', client: '' })).toBeNull();
    for (const one of [lock, other]) {
      await one.extend().catch(() => {});
      expect(one.signal.reason).toMatchObject({ reason: 'evicted' });
    }
    // It asks again by itself.
    expect(await outcome(waiting, clock, 2_000)).toMatchObject({ state: 'held' });
  });

  test('shows users what their code does in an outage', async () => {
    const { store, clock, locker, lock } = await held();
    store.fail({ times: Infinity });
    const attempt = await locker.tryLock('j').catch((error: unknown) => error);
    expect(attempt).toBeInstanceOf(LockStoreError);
    await clock.advance(2_700);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
  });
});
