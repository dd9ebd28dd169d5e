// What wakes parked jobs, and what does when that fails.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Locker } from '@holdfast/core';
import { guard, type OrderOptions, type OrderQueue } from '@holdfast/bullmq';
import type { Job, Queue } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { add, addMany, completed, jobNow, Log, range, until, type Data } from './kit/index.ts';
import { resolveOptions } from '../src/options.ts';
import { OrderClient } from '../src/order/client.ts';
import { registrationOf, type Registration } from '../src/order/registration.ts';
import { join } from '../src/order/scripts/join.ts';
import { leave } from '../src/order/scripts/leave.ts';
import { PROGRAM } from '../src/order/scripts/program.ts';
import { parkWaiting } from '../src/order/scripts/waiting.ts';
import { logging, NEVER, parked, settled, startsOf, OrderedSite } from './kit/ordered.ts';

const site = new OrderedSite();

/** As that of a process that has started no job of the queue. */
const orderClient = (order: OrderOptions): OrderClient =>
  new OrderClient(order, PROGRAM, { jobs: [] });

describe('a release by other code', () => {
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

  test('is noticed at once while a job is being parked', async () => {
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

  test('wakes nobody for ever if the lock is reserved for another waiter', async () => {
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

describe('when the process that wakes is gone', () => {
  test('the next job runs within the safety delay, if it went between release and wake-up', async () => {
    const queue = site.queue();
    const log = new Log();
    const order = { queue: deaf(queue), redis: site.client() };
    const given = site.options(queue, { order, delay: 250 });
    site.worker(queue, guard(given, logging(log, 5)), { concurrency: 3 });
    await addMany(queue, 6);
    await completed(queue, 6);
    expect(log.ended).toEqual(range(6));
  });

  test('the first job of a line is never away for longer than the safety delay', async () => {
    const queue = site.queue();
    const { log, end } = await site.heldWorker(queue, { delay: 600 });
    await addMany(queue, 8);
    await parked(queue, 8);
    const delays = async (): Promise<number[]> => {
      const jobs = (await queue.getDelayed()) as Job<Data>[];
      return jobs.toSorted((a, b) => (a.data.n ?? 0) - (b.data.n ?? 0)).map((job) => job.delay);
    };
    let longest = 0;
    // Those behind it look for themselves more rarely, and sooner as they move up.
    await until(async () => {
      const [first = 0, ...others] = await delays();
      longest = Math.max(longest, first);
      return others.every((delay, index) => delay > 600 * (index + 1));
    });
    expect(longest).toBeLessThanOrEqual(600);
    await queue.getDelayed().then((jobs) => jobs.find((job) => job.data.n === 1)?.remove());
    await until(async () => (await delays())[0] === 600);
    end.open();
    await completed(queue, 8);
    expect(log.ended).toEqual([0, 2, 3, 4, 5, 6, 7, 8]);
  });
});

test('a job that is skipped, that fails or that gives up its place wakes the next', async () => {
  const queue = site.queue();
  const end = site.gate();
  const started = site.gate();
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
  const [left, end] = [site.gate(), site.gate()];
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
  const [started, end] = [site.gate(), site.gate()];
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

test('a job that stalls after it has left its place is not waited for', async () => {
  const queue = site.queue();
  await addMany(queue, 2);
  const settings = resolveOptions(site.options(queue));
  const client = orderClient({ queue, redis: site.client() });
  const registration = async (n: number, run: string) =>
    registrationOf(settings, await jobNow(queue, { id: String(n) }), ['k'], run);
  // Nobody of this queue has been started by BullMQ.
  const all = { names: [], impatient: false };
  expect(await join(client, await registration(1, 'run'), all)).toMatchObject({ kind: 'go' });
  await leave(client, await registration(1, 'run'), false);
  // As BullMQ counts how often a job has stalled, when it is back among those to start.
  await site.client().hset(queue.toKey('1'), 'stc', 1);
  expect(await join(client, await registration(1, ''), all)).toMatchObject({ kind: 'go' });
  expect(await join(client, await registration(2, 'run'), all)).toMatchObject({
    kind: 'go',
    ahead: 0,
  });
});

test('a job that is started again is not passed because its dead run has asked long ago', async () => {
  const queue = site.queue();
  await addMany(queue, 2);
  const settings = resolveOptions(site.options(queue, { ttl: 50 }));
  const redis = site.client();
  const client = orderClient({ queue, redis });
  const ask = async (n: number, run: string) => {
    const registration = registrationOf(settings, await jobNow(queue, { id: `${n}` }), ['k'], run);
    return join(client, registration, { names: [], impatient: false });
  };
  // As BullMQ counts the starts of a job, and locks it.
  await redis.hincrby(queue.toKey('1'), 'ats', 1);
  await redis.set(`${queue.toKey('1')}:lock`, 'dead');
  expect(await ask(1, 'dead')).toMatchObject({ kind: 'go' });
  await sleep(80);
  await redis.hincrby(queue.toKey('1'), 'ats', 1);
  expect(await ask(2, 'run')).toMatchObject({ kind: 'behind', ahead: 1 });
  expect(await ask(1, 'run')).toMatchObject({ kind: 'go' });
  // If that run does not ask either, it keeps its place for its ttl, and no longer.
  await sleep(80);
  expect(await ask(2, 'run')).toMatchObject({ kind: 'go' });
});

test.each([{}, { jobId: 'own' }])(
  'a job that is before all that wait is not parked before its start (%j)',
  async (options) => {
    const queue = site.queue();
    const first = await add(queue, { key: 'k', n: 0 }, options);
    await sleep(2);
    await addMany(queue, 2);
    const settings = resolveOptions(site.options(queue));
    const client = orderClient({ queue, redis: site.client() });
    const jobs = (await queue.getWaiting()) as Job<Data>[];
    const [, second, third] = jobs.map((job) => registrationOf(settings, job, ['k'], ''));
    const own = registrationOf(settings, first, ['k'], '');
    // The second one was woken, and asks; the first one is among those that are to start, to be tried again.
    const asking = { ...(second as Registration), run: 'run' };
    expect(await join(client, asking, { names: ['none'], impatient: false })).toMatchObject({
      kind: 'go',
    });
    const given = { jobs: [own], staying: [], deadline: undefined };
    expect(await parkWaiting(client, given)).toMatchObject({
      parked: new Set(),
      stayed: new Set([own.id]),
    });
    const rest = { jobs: [third as Registration], staying: [], deadline: undefined };
    expect(await parkWaiting(client, rest)).toMatchObject({ parked: new Set([third?.id]) });
  },
);

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
