// The order, and BullMQ itself, by another client than ioredis.
import { createLocker, LockArgumentError } from '@holdfast/core';
import { guard, type GuardOptions } from '@holdfast/bullmq';
import { redisScripts, redisStore } from '@holdfast/redis';
import { Queue, type ConnectionOptions } from 'bullmq';
import { createClient } from 'redis';
import { describe, expect, test } from 'vitest';
import {
  add,
  addMany,
  completed,
  jobsOf,
  Log,
  onBullmq,
  range,
  Site,
  traces,
  until,
  type Data,
} from './kit/index.ts';
import { logging, NEVER, startsOf } from './kit/ordered.ts';

const site = new Site();
const key = (job: { data: Data }): string => job.data.key;

async function nodeRedis() {
  const client = createClient({ url: site.redis.url });
  client.on('error', () => {});
  await client.connect();
  site.atEnd(() => client.destroy());
  return client;
}

type Client = Awaited<ReturnType<typeof nodeRedis>>;

/** All of a guard on a client of node-redis. */
function given(client: Client, queue: Queue<Data>, ordered: boolean): GuardOptions<Data> {
  const locker = createLocker({ store: redisStore(client) });
  site.atEnd(() => locker.close());
  const order = ordered ? { queue, redis: redisScripts(client) } : undefined;
  return { locker, key, order, delay: ordered ? NEVER : 100 };
}

test('a client of node-redis keeps the order of a queue on ioredis, also when Redis forgets its scripts', async () => {
  const queue = site.queue();
  const client = await nodeRedis();
  const log = new Log();
  for (let n = 0; n < 2; n++) {
    site.worker(queue, guard(given(client, queue, true), logging(log, 2)), { concurrency: 4 });
  }
  await addMany(queue, 20);
  await completed(queue, 20);
  await client.sendCommand(['SCRIPT', 'FLUSH']);
  for (const n of range(10)) await add(queue, { key: 'k', n: 20 + n });
  await completed(queue, 30);
  expect(log.ended).toEqual(range(30));
  expect(log.overlaps).toEqual([]);
  expect(await startsOf(queue)).toBeLessThanOrEqual(3);
});

test('the guard refuses a client that runs no scripts as ioredis does, and says what to pass', async () => {
  const queue = site.queue();
  // A queue that is closed while it connects leaves a rejection of ioredis that nobody handles.
  await queue.waitUntilReady();
  const client = await nodeRedis();
  const options = given(client, queue, false);
  const make = () =>
    guard({ ...options, order: { queue, redis: client as never } }, async () => {});
  expect(make).toThrow(LockArgumentError);
  expect(make).toThrow(/`order.redis` must be .*redisScripts\(client\)/);
});

// BullMQ 5 runs on ioredis only.
describe.skipIf(onBullmq !== undefined)('with BullMQ on node-redis', () => {
  test.each([true, false])(
    'jobs of a key run one at a time, each once (order: %s)',
    async (ordered) => {
      const client = await nodeRedis();
      const connection = client as unknown as ConnectionOptions;
      const queue = new Queue<Data>(`node-redis-${ordered}`, { connection });
      site.atEnd(() => queue.close());
      const log = new Log();
      for (let n = 0; n < 2; n++) {
        const guarded = guard(given(client, queue, ordered), logging(log, 2));
        site.worker(queue, guarded, { connection, concurrency: 4 });
      }
      await addMany(queue, 20);
      await completed(queue, 20);
      expect(log.overlaps).toEqual([]);
      expect(ordered ? log.ended : log.ended.toSorted((a, b) => a - b)).toEqual(range(20));
      expect(new Set((await jobsOf(queue)).map((job) => job.attemptsMade))).toEqual(new Set([1]));
      expect(await startsOf(queue)).toBeLessThanOrEqual(ordered ? 3 : Infinity);
      await until(async () => (await traces(site.client(), queue)).length === 0);
    },
  );
});
