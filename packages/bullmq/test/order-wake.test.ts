// What wakes parked jobs, and what does when that fails.
import { type Locker } from '@holdfast/core';
import { guard, type OrderQueue, type OrderRedis } from '@holdfast/bullmq';
import type { Job, Queue } from 'bullmq';
import { describe, expect, test } from 'vitest';
import {
  add,
  addMany,
  completed,
  gate,
  jobNow,
  Log,
  range,
  until,
  type Data,
} from './kit/index.ts';
import { resolveOptions } from '../src/options.ts';
import { LineScripts } from '../src/order/line-scripts.ts';
import { PARK } from '../src/order/scripts.ts';
import { ticketOf } from '../src/order/ticket.ts';
import { logging, NEVER, parked, settled, startsOf, OrderedSite } from './kit/ordered.ts';

const site = new OrderedSite();

describe('a lock that other code releases', () => {
  test('is noticed within the safety delay', async () => {
    const queue = site.queue();
    const log = new Log();
    const given = site.options(queue, { delay: 300 });
    const lock = await site.locker().lock('k');
    site.worker(queue, guard(given, logging(log)), { concurrency: 4 });
    await addMany(queue, 3);
    await parked(queue, 3);
    await lock.release();
    await completed(queue, 3);
    expect(log.ended).toEqual(range(3));
  });

  test('while a job is being parked is noticed at once', async () => {
    const queue = site.queue();
    const log = new Log();
    const other = site.locker();
    const lock = await other.lock('k');
    const locker = site.locker();
    // The moment after the job has found its key taken.
    const refused = new Promise<void>((resolve) => {
      locker.on('not-acquired', () => resolve(lock.release().then(() => {})));
    });
    site.worker(queue, guard(site.options(queue, { locker }), logging(log)));
    await add(queue, { key: 'k', n: 1 });
    await refused;
    await completed(queue, 1);
    expect(await startsOf(queue)).toBe(2);
  });

  test('and that is reserved for another waiter wakes nobody for ever', async () => {
    const queue = site.queue();
    const log = new Log();
    const locker = site.locker();
    // A lock that looks free, and that nobody gets.
    const odd: Locker = Object.assign(Object.create(locker) as Locker, {
      lock: (...args: Parameters<Locker['lock']>) => locker.lock(...args),
      inspect: async () => null,
    });
    const lock = await locker.lock('k');
    site.worker(queue, guard(site.options(queue, { locker: odd }), logging(log)));
    const job = await add(queue, { key: 'k', n: 1 });
    await until(async () => (await jobNow(queue, job)).attemptsStarted === 3);
    await settled();
    expect(await queue.getDelayedCount()).toBe(1);
    expect((await jobNow(queue, job)).attemptsStarted).toBe(3);
    await lock.release();
  });
});

/** A queue that fails at what wakes jobs. */
function deaf(queue: Queue<Data>): OrderQueue {
  return {
    toKey: (type) => queue.toKey(type),
    getJob: async () => {
      throw new Error('the process that wakes is gone');
    },
    getJobState: (id) => queue.getJobState(id),
  };
}

describe('when the one that wakes is gone', () => {
  test('after its release and before the wake-up, the next runs within the safety delay', async () => {
    const queue = site.queue();
    const log = new Log();
    const order = { queue: deaf(queue), redis: site.client() };
    const given = site.options(queue, { order, delay: 250 });
    site.worker(queue, guard(given, logging(log, 5)), { concurrency: 3 });
    await addMany(queue, 6);
    await completed(queue, 6);
    expect(log.ended).toEqual(range(6));
  });

  test('the first of a line of many is never away for longer than the safety delay', async () => {
    const queue = site.queue();
    const { log, end } = await site.heldWorker(queue, { delay: 600 });
    await addMany(queue, 8);
    await parked(queue, 8);
    const delays = async (): Promise<number[]> => {
      const jobs = (await queue.getDelayed()) as Job<Data>[];
      return jobs.toSorted((a, b) => (a.data.n ?? 0) - (b.data.n ?? 0)).map((job) => job.delay);
    };
    const [first = 0, ...others] = await delays();
    expect(first).toBeLessThanOrEqual(600);
    // Those behind it look for themselves more rarely, and sooner as they move up.
    for (const [index, delay] of others.entries()) expect(delay).toBeGreaterThan(600 * (index + 1));
    await queue.getDelayed().then((jobs) => jobs.find((job) => job.data.n === 1)?.remove());
    await until(async () => (await delays())[0] === 600);
    end.open();
    await completed(queue, 8);
    expect(log.ended).toEqual([0, 2, 3, 4, 5, 6, 7, 8]);
  });
});

test('a job that is skipped, that fails or that gives up its place wakes the next', async () => {
  const queue = site.queue();
  const end = gate();
  const started = gate();
  const ran: number[] = [];
  const onLocked = (job: Job<Data>) =>
    job.data.n === 2 ? { delay: NEVER } : job.data.n === 3 ? ('skip' as const) : 'defer';
  site.worker(
    queue,
    guard<Data>(site.options(queue, { onLocked }), async (job) => {
      ran.push(job.data.n ?? 0);
      started.open();
      await end.opened;
    }),
    { concurrency: 5 },
  );
  await addMany(queue, 1);
  await started.opened;
  for (const n of [2, 3, 4]) await add(queue, { key: 'k', n });
  await until(async () => (await queue.getDelayedCount()) === 2);
  await settled();
  end.open();
  await completed(queue, 3);
  expect(ran).toEqual([1, 4]);
  await until(async () => (await site.traces(queue)).length === 0);
});

test('a job that has left its place and runs on holds nobody up', async () => {
  const queue = site.queue();
  const ran: number[] = [];
  const [left, end] = [gate(), gate()];
  const guarded = guard<Data>(site.options(queue), async (job) => void ran.push(job.data.n ?? 0));
  site.worker(
    queue,
    async (job, token, signal) => {
      await guarded(job, token, signal);
      if (job.data.n !== 1) return;
      left.open();
      await end.opened;
    },
    { concurrency: 2 },
  );
  await addMany(queue, 1);
  await left.opened;
  const second = await add(queue, { key: 'k', n: 2 });
  await completed(queue, 1);
  expect((await jobNow(queue, second)).attemptsStarted).toBe(1);
  expect(await site.traces(queue)).toEqual([]);
  end.open();
  await completed(queue, 2);
  expect(ran).toEqual([1, 2]);
});

test('a job that was seen to run, and never asked, holds nobody up when it is deferred', async () => {
  const queue = site.queue();
  const ran: number[] = [];
  const [started, end] = [gate(), gate()];
  const guarded = guard<Data>(site.options(queue), async (job) => void ran.push(job.data.n ?? 0));
  site.worker(
    queue,
    async (job, token, signal) => {
      if (job.data.n !== 1) return guarded(job, token, signal);
      started.open();
      await end.opened;
      throw new Error('without its lock');
    },
    { concurrency: 2 },
  );
  await add(queue, { key: 'k', n: 1 }, { attempts: 2, backoff: NEVER });
  await started.opened;
  await add(queue, { key: 'k', n: 2 });
  await parked(queue, 1);
  end.open();
  await completed(queue, 1);
  expect(ran).toEqual([2]);
  expect(await queue.getDelayedCount()).toBe(1);
});

test('a job that was woken often is woken again, if another was before it when it started', async () => {
  const queue = site.queue();
  const [work, parking, promoting, urgent, end] = [gate(), gate(), gate(), gate(), gate()];
  const client = site.client();
  const ran: number[] = [];
  const redis: OrderRedis = {
    evalsha: async (sha, keys, words) => {
      // Of 3 and 4, so that each of them finds that 2 may start.
      if (sha === PARK.sha && ['3', '4'].includes(words[2] ?? '')) await parking.opened;
      return client.evalsha(sha, keys, words);
    },
    eval: (source, keys, words) => client.eval(source, keys, words),
  };
  const slow: OrderQueue = {
    toKey: (type) => queue.toKey(type),
    getJob: async (id) => {
      const job = (await queue.getJob(id)) as Job<Data>;
      const promote = job.promote.bind(job);
      return Object.assign(job, { promote: () => promoting.opened.then(promote) });
    },
    getJobState: (id) => queue.getJobState(id),
  };
  const order = { queue: slow, redis };
  const guarded = guard<Data>(site.options(queue, { order }), async (job) => {
    ran.push(job.data.n ?? 0);
    if (job.data.n === 1) await work.opened;
  });
  site.worker(
    queue,
    async (job, token, signal) => {
      if (job.data.n === 5) {
        urgent.open();
        await end.opened;
      } else await guarded(job, token, signal);
    },
    { concurrency: 6 },
  );
  const addOne = (n: number, priority = 2) => add(queue, { key: 'k', n }, { priority });
  await addOne(1);
  await until(() => ran.length === 1);
  const second = await addOne(2);
  await parked(queue, 1);
  await settled();
  for (const n of [3, 4]) await addOne(n);
  await parked(queue, 3);
  work.open();
  await until(async () => (await site.entry(queue, '1')) === undefined);
  parking.open();
  await until(async () => (await site.entry(queue, '2'))?.woken === 2);
  // An urgent job of the same key, which its successor sees.
  await addOne(5, 1);
  await urgent.opened;
  await addOne(6);
  await parked(queue, 4);
  promoting.open();
  await until(async () => (await jobNow(queue, second)).attemptsStarted === 2);
  await parked(queue, 4);
  expect(ran).toEqual([1]);
  end.open();
  await completed(queue, 6);
  expect(ran).toEqual([1, 2, 3, 4, 6]);
});

describe('of what a line is told', () => {
  async function lineOf(queue: Queue<Data>) {
    const settings = resolveOptions(site.options(queue));
    const scripts = new LineScripts({ queue, redis: site.client() });
    // Nobody of this queue has been started by BullMQ.
    const others = { names: [], unknown: new Set<string>() };
    const ticket = async (n: number, run: string) =>
      ticketOf(settings, await jobNow(queue, { id: String(n) }), ['k'], run);
    return {
      join: async (n: number, run: string) => scripts.join(await ticket(n, run), others),
      took: async (n: number, run: string) => scripts.took(await ticket(n, run), NEVER),
      park: async (n: number, run: string) =>
        (await scripts.park(await ticket(n, run), NEVER)).wake,
      leave: async (n: number, run: string) =>
        (await scripts.leave(await ticket(n, run), NEVER)).wake,
    };
  }

  test('the end of a run lets the next job try again, however often it did before', async () => {
    const queue = site.queue();
    await addMany(queue, 2);
    const line = await lineOf(queue);
    expect(await line.join(1, 'runner')).toMatchObject({ kind: 'go' });
    await line.took(1, 'runner');
    for (const run of ['first', 'second']) {
      expect(await line.join(2, run)).toMatchObject({ kind: 'go' });
      expect(await line.park(2, run)).toEqual([]);
    }
    expect(await line.join(2, 'third')).toMatchObject({ kind: 'go' });
    expect(await line.leave(1, 'runner')).toEqual([]);
    expect(await line.park(2, 'third')).toEqual(['2']);
  });

  test('a job that stalls after it has left its place is not waited for', async () => {
    const queue = site.queue();
    await addMany(queue, 2);
    const line = await lineOf(queue);
    expect(await line.join(1, 'run')).toMatchObject({ kind: 'go' });
    await line.leave(1, 'run');
    // As BullMQ counts how often a job has stalled, when it is back among those to start.
    await site.client().hset(queue.toKey('1'), 'stc', 1);
    expect(await line.join(1, '')).toMatchObject({ kind: 'go' });
    expect(await line.join(2, 'run')).toMatchObject({ kind: 'go', ahead: 0 });
  });
});

test('a job in a line fails after `maxDeferral`', async () => {
  const queue = site.queue();
  await site.locker().lock('k');
  site.worker(
    queue,
    guard(site.options(queue, { delay: 60, maxDeferral: 500 }), async () => {}),
  );
  const job = await add(queue, { key: 'k' });
  await until(async () => (await queue.getFailedCount()) === 1);
  expect((await jobNow(queue, job)).failedReason).toMatch(/^The lock is busy: not acquired within/);
  await until(async () => (await site.traces(queue)).length === 0);
});

test('an `order.queue` that is another queue fails the job, and says so', async () => {
  const queue = site.queue();
  site.worker(
    queue,
    guard(site.options(site.queue()), async () => {}),
  );
  const job = await add(queue, { key: 'k' });
  await until(async () => (await queue.getFailedCount()) === 1);
  expect((await jobNow(queue, job)).failedReason).toMatch(
    /`order.queue` the queue that the worker/,
  );
});

test('an `order.redis` that is not where the queue is fails the job, and says so', async () => {
  const queue = site.queue();
  const redis = site.client();
  await redis.select(5);
  site.worker(
    queue,
    guard(site.options(queue, { order: { queue, redis } }), async () => {}),
  );
  const job = await add(queue, { key: 'k' });
  await until(async () => (await queue.getFailedCount()) === 1);
  expect((await jobNow(queue, job)).failedReason).toMatch(/`order.redis` does not find this job/);
});
