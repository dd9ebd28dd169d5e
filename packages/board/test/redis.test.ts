import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import type { LockDetails, LockPageReply } from '../src/protocol.ts';
import { askRelease, get, makeBoard } from './kit.ts';

const server = useRedis();

/** As of a process of its own: with a connection of its own. */
function process(label: string): Locker {
  const client = new Redis(server.url);
  const locker = createLocker({
    store: redisStore(client),
    label,
    namespace: 'board',
    ttl: 60_000,
  });
  onTestFinished(async () => {
    await locker.close();
    client.disconnect();
  });
  return locker;
}

test('on Redis the board shows and releases the locks of other processes, and who waits there', async () => {
  const [web, worker, ops] = [process('web-1'), process('worker-2'), process('ops')];
  const lock = await web.lock('order:42');
  const waiting = worker.lock('order:42');
  const made = makeBoard({ lockers: ops, authorize: () => true });
  const details = async (): Promise<LockDetails> =>
    (await (await get(made, '/locks/api/lock?id=order:42')).json()) as LockDetails;
  await expect.poll(async () => (await details()).waiters).toBe(1);
  expect(await details()).toMatchObject({ label: 'web-1', queue: [{ label: 'worker-2' }] });
  const asked = { locker: 'locks', id: 'order:42', reason: 'INC-7' };
  expect(await (await askRelease(made, asked)).json()).toEqual({ released: true });
  const next = await waiting;
  expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
  await expect.poll(() => lock.state).toBe('lost');
  expect((await details()).label).toBe('worker-2');
});

test('on Redis many locks are paged through, each once', async () => {
  const web = process('web-1');
  const keys = Array.from({ length: 2_500 }, (_, at) => `many:${at}`);
  await Promise.all(keys.map((key) => web.lock(key)));
  const made = makeBoard({ lockers: process('ops') });
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
    const page = (await (await get(made, `/locks/api/locks${query}`)).json()) as LockPageReply;
    seen.push(...page.locks.map(({ key }) => key).filter((key) => key.startsWith('many:')));
    cursor = page.cursor;
  } while (cursor !== undefined);
  expect(new Set(seen)).toEqual(new Set(keys));
});
