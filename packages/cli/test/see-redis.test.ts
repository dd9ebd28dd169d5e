import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { Holdfast, holdfast } from './kit.ts';

const server = useRedis();

/** As of a process of its own: with a connection of its own. */
function application(label: string, namespace?: string): Locker {
  const client = new Redis(server.url);
  const locker = createLocker({ store: redisStore(client), label, namespace });
  onTestFinished(async () => {
    await locker.close();
    client.disconnect();
  });
  return locker;
}

const on = (...args: string[]) => holdfast(args, { env: { REDIS_URL: server.url } });
const json = async (...args: string[]): Promise<unknown> =>
  JSON.parse((await on(...args, '--json')).stdout);

test('ls and inspect show the locks of other processes on Redis, and who waits there', async () => {
  const [web, worker] = [application('web-1'), application('worker-2')];
  await web.lock('seen:42');
  await web.lock('seen:a b/ü{1}');
  const waiting = worker.lock('seen:42');
  waiting.catch(() => {});
  await expect.poll(async () => (await web.inspect('seen:42'))?.waiters).toBe(1);
  const locks = (await json('ls', 'seen:')) as { key: string }[];
  expect(locks.map(({ key }) => key).toSorted()).toEqual(['seen:42', 'seen:a b/ü{1}']);
  expect(locks.find(({ key }) => key === 'seen:42')).toMatchObject({
    label: 'web-1',
    waiters: 1,
    since: expect.any(Number),
  });
  expect(await json('inspect', 'seen:42')).toMatchObject({ queue: [{ label: 'worker-2' }] });
});

test('--namespace is that of the application', async () => {
  await application('web-1', 'shop').lock('order:42');
  expect(await json('ls', '--namespace', 'shop')).toMatchObject([{ key: 'order:42' }]);
  expect(await json('ls', 'order:')).toEqual([]);
});

test('release frees a lock of another process, which learns of it', async () => {
  const lock = await application('web-1').lock('freed:42');
  const { stdout } = await on('release', 'freed:42', '--reason', 'INC-7: hung');
  expect(stdout).toMatch(/released 'freed:42', held by web-1: INC-7: hung/);
  await expect.poll(() => lock.state).toBe('lost');
  expect(lock.signal.reason).toMatchObject({ reason: 'forced' });
});

test('watch shows a lock of another process while it is held', async () => {
  const web = application('web-1');
  const watching = Holdfast.start(['watch', 'watched:', '--interval', '50ms'], {
    env: { REDIS_URL: server.url },
  });
  const lock = await web.lock('watched:42');
  await watching.says(/\+ watched:42 web-1/);
  await lock.release();
  await watching.says(/- watched:42 web-1/);
  watching.process.kill('SIGTERM');
  expect(await watching.result).toMatchObject({ code: 0 });
});
