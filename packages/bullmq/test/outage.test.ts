// A store of the locks, or a Redis of the order, that is away.
import { createLocker, LockStoreError, memoryStore, type Locker } from '@holdfast/core';
import { guard, type GuardOptions } from '@holdfast/bullmq';
import { faultyStore } from '@holdfast/testing';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { add, completed, jobNow, jobsOf, range, until, type Data } from './kit/index.ts';
import { OrderedSite } from './kit/ordered.ts';

const site = new OrderedSite();
const REFUSED = 'connect ECONNREFUSED 10.0.0.7:6379';

/** A locker whose store fails until it is told otherwise. */
function away(): { locker: Locker; back: () => void } {
  const store = faultyStore(memoryStore());
  store.fail({ times: Infinity, error: new Error(REFUSED) });
  const locker = createLocker({ store });
  site.atEnd(() => locker.close());
  return { locker, back: () => store.heal() };
}

describe.each([true, false])('while the store is away (order: %s)', (ordered) => {
  function given(more: Partial<GuardOptions<Data>>) {
    const queue = site.queue();
    const { locker, back } = away();
    const { order, ...options } = site.options(queue, { locker, delay: 100, ...more });
    return { queue, back, options: ordered ? { ...options, order } : options };
  }

  test('jobs are deferred, without an attempt burnt, and run when it is back', async () => {
    const { queue, back, options } = given({});
    const ran: number[] = [];
    site.worker(
      queue,
      guard<Data>(options, async (job) => void ran.push(job.data.n ?? 0)),
      { concurrency: 5 },
    );
    for (const n of range(20)) await add(queue, { key: `k${n % 3}`, n });
    // In order, only the first of each line looks for itself.
    await until(async () => {
      const again = (await jobsOf(queue)).filter((job) => job.attemptsStarted > 1);
      return again.length >= (ordered ? 3 : 20);
    });
    expect(ran).toEqual([]);
    back();
    await completed(queue, 20);
    expect(await queue.getFailedCount()).toBe(0);
    expect(new Set((await jobsOf(queue)).map((job) => job.attemptsMade))).toEqual(new Set([1]));
    for (const rest of ordered ? [0, 1, 2] : []) {
      const ended = ran.filter((n) => n % 3 === rest);
      expect(ended).toEqual(ended.toSorted((a, b) => a - b));
    }
  });

  test('a job fails after `maxDeferral`, and says what the store said', async () => {
    const { queue, options } = given({ maxDeferral: 400 });
    site.worker(
      queue,
      guard(options, async () => {}),
    );
    const job = await add(queue, { key: 'k' });
    await until(async () => (await queue.getFailedCount()) === 1);
    expect((await jobNow(queue, job)).failedReason).toBe(`The store failed (acquire). ${REFUSED}`);
  });

  test("a job fails as an attempt with `onStoreError: 'fail'`, and says what the store said", async () => {
    const { queue, options } = given({ onStoreError: 'fail' });
    const failures: Error[] = [];
    const worker = site.worker(
      queue,
      guard(options, async () => {}),
    );
    worker.on('failed', (_, error) => failures.push(error));
    const job = await add(queue, { key: 'k' });
    await until(() => failures.length === 1);
    expect(failures[0]).toBeInstanceOf(LockStoreError);
    expect(await jobNow(queue, job)).toMatchObject({
      attemptsMade: 1,
      failedReason: `The store failed (acquire). ${REFUSED}`,
    });
  });

  test('a job fails as an attempt where trying again cannot heal it', async () => {
    const { queue, options } = given({});
    const { locker } = options;
    const broken: Locker = Object.assign(Object.create(locker) as Locker, {
      lock: async () => {
        throw new LockStoreError('The client is closed.', { phase: 'acquire', permanent: true });
      },
    });
    site.worker(
      queue,
      guard({ ...options, locker: broken }, async () => {}),
    );
    const job = await add(queue, { key: 'k' });
    await until(async () => (await queue.getFailedCount()) === 1);
    expect((await jobNow(queue, job)).failedReason).toBe('The client is closed.');
  });
});

describe.each([true, false])(
  'with a locker that is closed before its worker (order: %s)',
  (ordered) => {
    function given(more: Partial<GuardOptions<Data>> = {}) {
      const queue = site.queue();
      const locker = site.locker();
      const { order, ...options } = site.options(queue, { locker, delay: 100, ...more });
      return { queue, locker, options: ordered ? { ...options, order } : options };
    }

    test('jobs are left to other workers, without an attempt burnt', async () => {
      const { queue, locker, options } = given();
      await locker.close();
      const leaving = site.worker(
        queue,
        guard(options, async () => {}),
      );
      const job = await add(queue, { key: 'k' });
      await until(async () => (await jobNow(queue, job)).attemptsStarted > 0);
      await leaving.close();
      expect(await queue.getFailedCount()).toBe(0);
      site.worker(
        queue,
        guard({ ...options, locker: site.locker() }, async () => {}),
      );
      await completed(queue, 1);
      expect(await jobNow(queue, job)).toMatchObject({ attemptsMade: 1 });
    });

    test("a job fails as an attempt with `onStoreError: 'fail'`", async () => {
      const { queue, locker, options } = given({ onStoreError: 'fail' });
      await locker.close();
      site.worker(
        queue,
        guard(options, async () => {}),
      );
      const job = await add(queue, { key: 'k' });
      await until(async () => (await queue.getFailedCount()) === 1);
      expect((await jobNow(queue, job)).failedReason).toBe('The locker is closed.');
    });
  },
);

test('a Redis of the order that is away defers jobs, and nobody runs out of order', async () => {
  const queue = site.queue();
  const client = site.client();
  let working = false;
  const refuse = async (): Promise<never> => {
    throw new Error(REFUSED);
  };
  const order = {
    queue,
    redis: {
      evalsha: (...args: Parameters<typeof client.evalsha>) =>
        working ? client.evalsha(...args) : refuse(),
      eval: (...args: Parameters<typeof client.eval>) =>
        working ? client.eval(...args) : refuse(),
    } as never,
  };
  const ran: number[] = [];
  site.worker(
    queue,
    guard<Data>(site.options(queue, { order, delay: 100 }), async (job) => {
      ran.push(job.data.n ?? 0);
    }),
    { concurrency: 5 },
  );
  for (const n of range(10)) await add(queue, { key: 'k', n });
  await until(async () => (await jobsOf(queue)).every((job) => job.attemptsStarted > 1));
  expect(ran).toEqual([]);
  working = true;
  await completed(queue, 10);
  expect(await queue.getFailedCount()).toBe(0);
});

test.each([
  { lacks: 'the keys', rules: ['~{holdfast:*', '+@all'] },
  { lacks: 'the scripts', rules: ['~*', '+@all', '-eval', '-evalsha'] },
  { lacks: 'a command of the scripts', rules: ['~*', '+@all', '-zadd'] },
])('a job fails, and says why, where the user of the order lacks $lacks', async ({ rules }) => {
  const queue = site.queue();
  await site.client().call('ACL', 'SETUSER', 'order', 'reset', 'on', '>secret', ...rules);
  const redis = new Redis(site.redis.url, { username: 'order', password: 'secret' });
  redis.on('error', () => {});
  site.atEnd(() => redis.disconnect());
  site.worker(
    queue,
    guard(site.options(queue, { order: { queue, redis } }), async () => {}),
  );
  const job = await add(queue, { key: 'k' });
  await until(async () => (await queue.getFailedCount()) === 1);
  const { failedReason } = await jobNow(queue, job);
  expect(failedReason).toMatch(/keeps the order of jobs.*(?:NOPERM|permission|can't)/);
});
