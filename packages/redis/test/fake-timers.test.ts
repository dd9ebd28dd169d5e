import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { afterEach, expect, test, vi } from 'vitest';
import { Bench } from './kit.ts';

const server = useRedis();
const bench = new Bench(() => server.url);
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

test('locks and releases of one turn work under the fake timers that Jest has by default', async () => {
  const client = bench.client();
  await client.ping();
  vi.useFakeTimers({
    toFake: ['setImmediate', 'setTimeout', 'setInterval', 'Date', 'performance'],
  });
  // A runner's own `process.nextTick()` is for the code under test alone, and so are our timers.
  const nextTick = process.nextTick.bind(process);
  vi.spyOn(process, 'nextTick').mockImplementation((...call) => {
    const caller = new Error().stack?.split('\n').slice(2).join('\n') ?? '';
    if (!/packages\/(?:redis|core)\/src/.test(caller.split('\n', 3).join('\n'))) nextTick(...call);
  });
  const locker = createLocker({ store: redisStore(client) });
  const locks = await Promise.all(['a', 'b', 'c'].map((key) => locker.lock(key)));
  expect(await Promise.all(locks.map((lock) => lock.release()))).toEqual([true, true, true]);
  const first = await locker.lock('a');
  const second = locker.lock('a');
  await first.release();
  await (await second).release();
  await locker.close();
});
