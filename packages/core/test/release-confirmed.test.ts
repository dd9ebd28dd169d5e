import { createLocker, memoryStore, releaseConfirmed, type Key } from '@holdfast/core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test.each<{ what: string; key: Key }>([
  { what: 'a lock', key: 'a' },
  { what: 'a lock of several keys', key: ['a', 'b'] },
])('the release of $what is confirmed later than release() answers', async ({ key }) => {
  const store = memoryStore();
  const release = store.release.bind(store);
  const locker = createLocker({ store, ttl: 30_000 });
  const lock = await locker.lock(key);
  store.release = () => Promise.reject(new Error('away'));
  const told: string[] = [];
  const confirmed = (async () => {
    told.push(`answered ${await lock.release()}`);
    await releaseConfirmed(lock);
    told.push('confirmed');
  })();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(told).toEqual(['answered false']);
  store.release = release;
  await vi.advanceTimersByTimeAsync(2_000);
  await confirmed;
  expect(told).toEqual(['answered false', 'confirmed']);
  expect(await locker.inspect('a')).toBeNull();
});

test('a release that the store has confirmed at once needs no waiting for', async () => {
  const lock = await createLocker().lock('a');
  expect(await lock.release()).toBe(true);
  await releaseConfirmed(lock);
  expect(lock.state).toBe('released');
});
