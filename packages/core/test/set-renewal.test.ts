import { createLocker, setRenewal, type Key, type Locker } from '@holdfast/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

const TTL = 1_000;

describe.each<{ what: string; key: Key }>([
  { what: 'a lock', key: 'a' },
  { what: 'a lock of several keys', key: ['a', 'b'] },
])('the renewal of $what', ({ key }) => {
  let locker: Locker;

  beforeEach(() => {
    vi.useFakeTimers();
    locker = createLocker({ ttl: TTL });
  });

  afterEach(async () => {
    await locker.close();
    vi.useRealTimers();
  });

  test('ends, and the ttl frees the lock', async () => {
    const lock = await locker.lock(key);
    await vi.advanceTimersByTimeAsync(3 * TTL);
    expect(lock.state).toBe('held');
    setRenewal(lock, false);
    expect(lock.state).toBe('held');
    await vi.advanceTimersByTimeAsync(TTL);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    await expect(locker.tryLock(key)).resolves.not.toBeNull();
  });

  test('begins again before the lease is over', async () => {
    const lock = await locker.lock(key);
    setRenewal(lock, false);
    await vi.advanceTimersByTimeAsync(0.8 * TTL);
    setRenewal(lock, true);
    await vi.advanceTimersByTimeAsync(3 * TTL);
    expect(lock.state).toBe('held');
  });

  test('does not begin again after its caller has aborted it', async () => {
    const caller = new AbortController();
    const lock = await locker.lock(key, { signal: caller.signal });
    caller.abort();
    setRenewal(lock, true);
    await vi.advanceTimersByTimeAsync(TTL);
    expect(lock.state).toBe('lost');
  });

  test('changes nothing once the lock is over', async () => {
    const lock = await locker.lock(key);
    await lock.release();
    setRenewal(lock, false);
    setRenewal(lock, true);
    expect(lock.state).toBe('released');
  });

  test('those who wait get the lock when it has run out', async () => {
    const lock = await locker.lock(key);
    const next = locker.lock(key);
    setRenewal(lock, false);
    await vi.advanceTimersByTimeAsync(TTL);
    await expect(next).resolves.toMatchObject({ state: 'held' });
  });
});
