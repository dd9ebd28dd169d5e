// Jobs that find their key taken, without `order`.
import { setTimeout as sleep } from 'node:timers/promises';
import { LockNotAcquiredError, LockQueueFullError } from '@holdfast/core';
import { guard } from '@holdfast/bullmq';
import { describe, expect, test } from 'vitest';
import type { Job } from 'bullmq';
import { delayOf, jittered, patienceOf } from '../src/deferral.ts';
import { resolveOptions } from '../src/options.ts';
import {
  add,
  addMany,
  completed,
  jobNow,
  jobsOf,
  Log,
  Site,
  until,
  type TestJob,
} from './kit/index.ts';

const site = new Site();
const keyOf = (job: { data: { key: string } }): string => job.data.key;

describe('jobs of one key', () => {
  test('run one at a time over two workers, all of them, with one attempt each', async () => {
    const queue = site.queue();
    const log = new Log();
    const worker = () =>
      site.worker(
        queue,
        guard({ locker: site.locker(), key: keyOf, delay: 100 }, async (job) => {
          const end = log.begin(job.data);
          await sleep(5);
          end();
        }),
        { concurrency: 4 },
      );
    worker();
    worker();
    await addMany(queue, 40);
    await completed(queue, 40);
    expect(log.overlaps).toEqual([]);
    expect(log.ended.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    expect(new Set((await jobsOf(queue)).map((job) => job.attemptsMade))).toEqual(new Set([1]));
  });

  test('do not hold up a job of another key that is added behind them', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const begun: string[] = [];
    const busy = await locker.lock('a');
    const processor = async (job: { data: { key: string } }): Promise<void> => {
      begun.push(job.data.key);
    };
    site.worker(queue, guard({ locker, key: keyOf, delay: 60_000 }, processor));
    await addMany(queue, 20, 'a');
    await add(queue, { key: 'b' });
    await until(() => begun.length > 0);
    expect(begun).toEqual(['b']);
    expect(await queue.getDelayedCount()).toBe(20);
    await busy.release();
  });

  test('run one at a time also where other code holds the lock, and other queues use it', async () => {
    const locker = site.locker();
    const queues = [site.queue(), site.queue()];
    const log = new Log();
    for (const queue of queues) {
      site.worker(
        queue,
        guard({ locker: site.locker(), key: keyOf, delay: 50 }, async (job) => {
          const end = log.begin(job.data);
          await sleep(20);
          end();
        }),
      );
    }
    const lock = await locker.lock('k');
    for (const queue of queues) await addMany(queue, 5);
    for (const queue of queues) {
      await until(async () => (await jobsOf(queue)).every((job) => job.attemptsStarted > 0));
    }
    expect(log.begun).toEqual([]);
    await lock.release();
    for (const queue of queues) await completed(queue, 5);
    expect(log.overlaps).toEqual([]);
  });
});

describe('a deferral', () => {
  test('burns no attempt: a job with one attempt is deferred many times and completes', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const lock = await locker.lock('k');
    site.worker(
      queue,
      guard({ locker, key: 'k', delay: 50 }, async () => 'done'),
    );
    const job = await add(queue, { key: 'k' }, { attempts: 1 });
    await until(async () => (await jobNow(queue, job)).attemptsStarted > 5);
    expect((await jobNow(queue, job)).attemptsMade).toBe(0);
    await lock.release();
    await completed(queue, 1);
    expect(await jobNow(queue, job)).toMatchObject({ attemptsMade: 1, returnvalue: 'done' });
  });

  test('is never a busy loop, even with no delay at all', async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    site.worker(
      queue,
      guard({ locker, key: 'k', delay: () => 0 }, async () => {}),
    );
    const begun = performance.now();
    const job = await add(queue, { key: 'k' });
    await until(async () => (await jobNow(queue, job)).attemptsStarted > 20);
    // Each of 20 deferrals is for at least 25 ms, however fast the machine is.
    expect(performance.now() - begun).toBeGreaterThan(20 * 25);
  });

  test('is jittered, and comes sooner to a job that was deferred often', () => {
    const settings = resolveOptions({ locker: site.locker(), key: 'k' });
    const patience = (deferrals: number): number => patienceOf(settings, {} as Job, deferrals);
    expect([0, 1, 4, 12, 36, 400].map(patience)).toEqual([1_000, 800, 500, 250, 100, 100]);
    const some = Array.from({ length: 1_000 }, () => jittered(1_000));
    expect(Math.min(...some)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...some)).toBeLessThanOrEqual(1_000);
    expect(new Set(some).size).toBeGreaterThan(900);
  });

  test('is for the default delay where a function of the options returns none', () => {
    const settings = resolveOptions({ locker: site.locker(), key: 'k', delay: () => undefined });
    expect(delayOf(settings, {} as Job, 3)).toBe(1_000);
  });

  test('keeps the priority', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const lock = await locker.lock('k');
    const order: number[] = [];
    site.worker(
      queue,
      guard({ locker, key: 'k', delay: 400 }, async (job) => void order.push(job.data.n ?? 0)),
    );
    const job = await add(queue, { key: 'k', n: 2 }, { priority: 7 });
    await until(async () => (await jobNow(queue, job)).attemptsStarted >= 2);
    expect(await jobNow(queue, job)).toMatchObject({ priority: 7 });
    await lock.release();
    await completed(queue, 1);
  });

  test('is not waited for by a worker that closes', async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    const worker = site.worker(
      queue,
      guard({ locker, key: 'k', delay: 60_000 }, async () => {}),
      {
        concurrency: 4,
      },
    );
    await addMany(queue, 4);
    await until(async () => (await queue.getDelayedCount()) > 0);
    await worker.close();
    expect(await queue.getActiveCount()).toBe(0);
  });

  test('comes after `wait` at the latest, also for a worker that closes', async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    const { locker: other, waiting } = site.waitingLocker();
    const options = { locker: other, key: 'k', wait: 400, delay: 60_000 };
    const worker = site.worker(
      queue,
      guard(options, async () => {}),
    );
    const job = await add(queue, { key: 'k' });
    await waiting.opened;
    await worker.close();
    expect(await job.getState()).toBe('delayed');
  });

  test('is what a job gets beside others that may wait in their slots, if too many do', async () => {
    const queue = site.queue();
    const locker = site.locker({ maxWaiters: 1 });
    const held = await locker.lock('k');
    site.worker(
      queue,
      guard({ locker, key: 'k', wait: 60_000, delay: 100 }, async () => {}),
      { concurrency: 3 },
    );
    await addMany(queue, 3);
    await until(async () => (await queue.getDelayedCount()) === 2);
    await held.release();
    await completed(queue, 3);
    expect((await jobsOf(queue)).map(({ attemptsMade }) => attemptsMade)).toEqual([1, 1, 1]);
  });

  test("is no deferral with `onLocked: 'fail'`: the job fails because too many wait", async () => {
    const queue = site.queue();
    const locker = site.locker({ maxWaiters: 0 });
    const held = await locker.lock('k');
    const options = { locker, key: 'k', wait: 60_000, onLocked: 'fail' } as const;
    site.worker(
      queue,
      guard(options, async () => {}),
    );
    const job = await add(queue, { key: 'k' });
    await until(async () => (await queue.getFailedCount()) === 1);
    const { failedReason } = await jobNow(queue, job);
    expect(failedReason).toBe(new LockQueueFullError({ limit: 0, option: 'maxWaiters' }).message);
    await held.release();
  });

  test('is lost to a job that deduplication puts in its place, and no lock stays behind', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const lock = await locker.lock('k');
    const done: number[] = [];
    site.worker(
      queue,
      guard({ locker, key: 'k', delay: 300 }, async (job) => void done.push(job.data.n ?? 0)),
    );
    const deduplication = { id: 'd', ttl: 60_000, extend: true, replace: true };
    await add(queue, { key: 'k', n: 1 }, { deduplication, delay: 1 });
    await until(async () => (await jobsOf(queue)).some((job) => job.attemptsStarted > 0));
    await until(async () => (await queue.getDelayedCount()) === 1);
    await add(queue, { key: 'k', n: 2 }, { deduplication, delay: 1 });
    await lock.release();
    await completed(queue, 1);
    expect(done).toEqual([2]);
    expect(await locker.inspect('k')).toBeNull();
  });
});

describe('a job whose key is taken', () => {
  test("is completed with 'skip', without having run", async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    let ran = 0;
    const onLocked = 'skip' as const;
    site.worker(
      queue,
      guard({ locker, key: 'k', onLocked }, async () => (ran += 1)),
    );
    const job = await add(queue, { key: 'k' });
    await completed(queue, 1);
    expect((await jobNow(queue, job)).returnvalue ?? undefined).toBeUndefined();
    expect(ran).toBe(0);
  });

  test("fails with 'fail', as an attempt, with the backoff of its options", async () => {
    const queue = site.queue();
    const locker = site.locker();
    const lock = await locker.lock('k');
    const onLocked = 'fail' as const;
    const worker = site.worker(
      queue,
      guard({ locker, key: 'k', onLocked }, async () => 'ran'),
    );
    const failures: Error[] = [];
    worker.on('failed', (_, error) => failures.push(error));
    const job = await add(queue, { key: 'k' }, { attempts: 2, backoff: 500 });
    await until(() => failures.length === 1);
    expect(failures[0]).toBeInstanceOf(LockNotAcquiredError);
    expect(await jobNow(queue, job)).toMatchObject({ attemptsMade: 1, delay: 500 });
    await lock.release();
    await completed(queue, 1);
    expect((await jobNow(queue, job)).attemptsMade).toBe(2);
  });

  test('becomes what a function says: a value, a delay, or one of the words', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const lock = await locker.lock('k');
    const seen: unknown[] = [];
    const onLocked = async (job: { data: { n?: number } }, error: unknown) => {
      seen.push(error instanceof LockNotAcquiredError);
      const answers = [{ value: 'other' }, { delay: 60_000 }, 'skip', 'fail', 'nonsense'] as const;
      return answers[job.data.n ?? 0] as 'skip';
    };
    site.worker(
      queue,
      guard<{ n?: number }>({ locker, key: 'k', onLocked }, async () => 'ran'),
    );
    const jobs: TestJob[] = [];
    for (const n of [0, 1, 2, 3, 4]) jobs.push(await add(queue, { key: 'k', n }));
    const states = async () => Promise.all(jobs.map((job) => job.getState()));
    await until(async () => (await queue.getFailedCount()) === 2);
    expect(await states()).toEqual(['completed', 'delayed', 'completed', 'failed', 'failed']);
    const now = await Promise.all(jobs.map((job) => jobNow(queue, job)));
    expect(now[0]?.returnvalue).toBe('other');
    expect(now[1]?.delay).toBeGreaterThan(59_000);
    expect(now[4]?.failedReason).toMatch(/`onLocked` must answer/);
    expect(seen).toEqual([true, true, true, true, true]);
    await lock.release();
  });

  test('starts once if the lock is free within `wait`', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const lock = await locker.lock('k');
    const { locker: other, waiting } = site.waitingLocker();
    site.worker(
      queue,
      guard({ locker: other, key: 'k', wait: 20_000 }, async () => 'done'),
    );
    const job = await add(queue, { key: 'k' });
    await waiting.opened;
    await lock.release();
    await completed(queue, 1);
    expect(await jobNow(queue, job)).toMatchObject({ attemptsStarted: 1, attemptsMade: 1 });
  });

  test('fails after `maxDeferral`, and says why', async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    const options = { locker, key: 'k', delay: 60, maxDeferral: 400 };
    site.worker(
      queue,
      guard(options, async () => {}),
    );
    const job = await add(queue, { key: 'k' });
    await until(async () => (await queue.getFailedCount()) === 1);
    const { failedReason, attemptsStarted } = await jobNow(queue, job);
    expect(failedReason).toMatch(/^The lock is busy: not acquired within [4-9]\d\d+ ms\.$/);
    expect(attemptsStarted).toBeGreaterThan(2);
  });

  test('fails after `maxDeferral` also when many processes have deferred it by turns', async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    // Each start meets a guard that has never seen the job.
    const options = { locker, key: 'k', delay: 100, maxDeferral: 500 };
    site.worker(queue, async (job, token) => guard(options, async () => {})(job, token));
    const job = await add(queue, { key: 'k' });
    await until(async () => (await queue.getFailedCount()) === 1);
    expect((await jobNow(queue, job)).failedReason).toMatch(/^The lock is busy/);
  });
});
