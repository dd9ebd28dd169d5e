import { afterEach, expect, test, vi } from 'vitest';
import { createLocker } from '../src/index.ts';

afterEach(() => {
  vi.useRealTimers();
});

test("events and signals arrive under a test runner's fake timers, which replace queueMicrotask too", async () => {
  vi.useFakeTimers({ toFake: ['queueMicrotask', 'setImmediate', 'setTimeout', 'setInterval'] });
  const locker = createLocker();
  const seen: string[] = [];
  locker.on('acquired', () => seen.push('acquired'));
  locker.on('released', () => seen.push('released'));
  const lock = await locker.lock('key');
  lock.signal.addEventListener('abort', () => seen.push('aborted'));
  const second = locker.lock('key');
  await lock.release();
  await (await second).release();
  await Promise.resolve();
  expect(seen.toSorted()).toEqual(['aborted', 'acquired', 'acquired', 'released', 'released']);
});
