// Jobs of a key in order: parked, and woken when it is their turn.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, memoryStore } from '@holdfast/core';
import { guard } from '@holdfast/bullmq';
import type { Job } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { add, addMany, completed, jobsOf, Log, range, until, type Data } from './kit/index.ts';
import { logging, parked, settled, startsOf, OrderedSite } from './kit/ordered.ts';

const site = new OrderedSite();

describe('jobs of a key', () => {
  test('run in the order of adding over two workers, woken by releases, in few starts', async () => {
    const queue = site.queue();
    const log = new Log();
    for (let i = 0; i < 2; i++) {
      site.worker(queue, guard(site.options(queue), logging(log, 5)), { concurrency: 4 });
    }
    await addMany(queue, 40);
    await completed(queue, 40);
    expect(log.overlaps).toEqual([]);
    expect(log.ended).toEqual(range(40));
    expect(await startsOf(queue)).toBeLessThanOrEqual(3);
    expect(new Set((await jobsOf(queue)).map((job) => job.attemptsMade))).toEqual(new Set([1]));
    await until(async () => (await site.traces(queue)).length === 0);
  });

  test('run in order also when they were added at once, with ids of their own', async () => {
    const queue = site.queue();
    const log = new Log();
    const jobs = range(60).map((n) => ({
      name: 'work',
      data: { key: `k${n % 3}`, n },
      opts: { jobId: `job-${n}` },
    }));
    await queue.addBulk(jobs);
    for (let i = 0; i < 3; i++) {
      site.worker(queue, guard(site.options(queue), logging(log, 2)), { concurrency: 3 });
    }
    await completed(queue, 60);
    for (const rest of [0, 1, 2]) {
      const ended = log.ended.filter((n) => n % 3 === rest);
      expect(ended).toEqual(ended.toSorted((a, b) => a - b));
    }
    expect(log.overlaps).toEqual([]);
    expect(await startsOf(queue)).toBeLessThanOrEqual(3);
  });

  test('run in the order in which they were started, whoever tells its key first', async () => {
    const queue = site.queue();
    const log = new Log();
    const slow = site.gate();
    // The first job is started first, and its worker takes its time before it asks.
    const key = async (job: Job<Data>): Promise<string> => {
      if (job.data.n === 1) await slow.opened;
      return job.data.key;
    };
    const shared = site.options(queue, { key });
    site.worker(queue, guard(shared, logging(log)));
    await add(queue, { key: 'k', n: 1 });
    await until(async () => (await queue.getActiveCount()) === 1);
    site.worker(queue, guard(shared, logging(log)));
    await add(queue, { key: 'k', n: 2 });
    await until(async () => (await queue.getActiveCount()) === 2);
    await sleep(20);
    slow.open();
    await completed(queue, 2);
    expect(log.begun).toEqual([1, 2]);
  });

  test('are not held up by a job of the same queue that is not guarded, if its key is another', async () => {
    const queue = site.queue();
    const log = new Log();
    const unguarded = site.gate();
    const guarded = guard(site.options(queue), logging(log));
    site.worker(
      queue,
      async (job, token, signal) => {
        if (job.data.n === 0) return unguarded.opened;
        return guarded(job, token, signal);
      },
      { concurrency: 2 },
    );
    await add(queue, { key: 'other', n: 0 });
    await until(async () => (await queue.getActiveCount()) === 1);
    await addMany(queue, 10);
    await completed(queue, 10);
    expect(log.begun).toEqual(range(10));
    unguarded.open();
    await completed(queue, 11);
  });

  test('are ordered by priority first, and those with lifo before the others', async () => {
    const queue = site.queue();
    const { log, end } = await site.heldWorker(queue);
    await add(queue, { key: 'k', n: 6 }, { priority: 9 });
    await add(queue, { key: 'k', n: 5 }, { priority: 2 });
    await add(queue, { key: 'k', n: 3 });
    await add(queue, { key: 'k', n: 2 }, { lifo: true });
    await add(queue, { key: 'k', n: 4 });
    await add(queue, { key: 'k', n: 1 }, { lifo: true });
    await parked(queue, 6);
    await settled();
    end.open();
    await completed(queue, 7);
    expect(log.ended).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const jobs = await jobsOf(queue);
    const priority = (n: number) => jobs.find((job) => job.data.n === n)?.priority;
    expect([priority(6), priority(5), priority(3)]).toEqual([9, 2, 0]);
  });

  test('wait for all of their keys, without deadlock', async () => {
    const queue = site.queue();
    const log = new Log();
    const keys = (job: Job<Data>): string[] => job.data.key.split('+');
    const held = new Map<string, number>();
    const clashes: string[] = [];
    for (let i = 0; i < 2; i++) {
      const processor = async (job: Job<Data>): Promise<void> => {
        for (const key of keys(job)) {
          if (held.has(key)) clashes.push(key);
          held.set(key, job.data.n ?? 0);
        }
        const end = log.begin(job.data);
        await sleep(2);
        end();
        for (const key of keys(job)) held.delete(key);
      };
      site.worker(queue, guard(site.options(queue, { key: keys }), processor), { concurrency: 5 });
    }
    const names = ['a', 'b', 'c', 'd', 'e'];
    const pairs = range(60).map((n) => [names[(n * 7) % 5], names[(n * 7 + 1 + (n % 3)) % 5]]);
    for (const [n, pair] of pairs.entries()) await add(queue, { key: pair.join('+'), n });
    await completed(queue, 60);
    expect(clashes).toEqual([]);
    for (const name of names) {
      const ended = log.ended.filter((n) => pairs[n]?.includes(name));
      expect(ended).toEqual(ended.toSorted((a, b) => a - b));
    }
    expect(await startsOf(queue)).toBeLessThanOrEqual(3);
  });

  test('complete under a `maxStartedAttempts` of 5', async () => {
    const queue = site.queue();
    const log = new Log();
    for (let i = 0; i < 2; i++) {
      site.worker(queue, guard(site.options(queue), logging(log, 2)), {
        concurrency: 4,
        maxStartedAttempts: 5,
      });
    }
    await addMany(queue, 40);
    await completed(queue, 40);
    expect(await queue.getFailedCount()).toBe(0);
  });

  test('leave the line when they fail, and come back to their place', async () => {
    const queue = site.queue();
    const attempts: string[] = [];
    site.worker(
      queue,
      guard(site.options(queue), async (job) => {
        attempts.push(`${job.data.n}.${job.attemptsMade}`);
        await sleep(5);
        if (job.data.n === 1 && job.attemptsMade === 0) throw new Error('once');
      }),
      { concurrency: 4 },
    );
    await queue.addBulk(
      range(4).map((n) => ({ name: 'work', data: { key: 'k', n }, opts: { attempts: 2 } })),
    );
    await completed(queue, 4);
    expect(attempts).toContain('1.1');
    expect(attempts.filter((attempt) => /^[2-4]/.test(attempt))).toEqual(['2.0', '3.0', '4.0']);
    await until(async () => (await site.traces(queue)).length === 0);
  });

  test('wait in their slot for up to `wait`, in order too', async () => {
    const queue = site.queue();
    const log = new Log();
    site.worker(queue, guard(site.options(queue, { wait: 30_000 }), logging(log, 5)), {
      concurrency: 10,
    });
    await addMany(queue, 10);
    await completed(queue, 10);
    expect(log.ended).toEqual(range(10));
    expect(await startsOf(queue)).toBe(1);
  });

  test('need no Redis for their locks', async () => {
    const queue = site.queue();
    const log = new Log();
    const store = memoryStore();
    for (let i = 0; i < 2; i++) {
      const locker = createLocker({ store });
      site.atEnd(() => locker.close());
      site.worker(queue, guard(site.options(queue, { locker }), logging(log, 2)), {
        concurrency: 4,
      });
    }
    await addMany(queue, 20);
    await completed(queue, 20);
    expect(log.ended).toEqual(range(20));
  });

  test('may come from job schedulers, each iteration once', async () => {
    const queue = site.queue();
    const log = new Log();
    site.worker(queue, guard(site.options(queue), logging(log, 30)), { concurrency: 4 });
    await queue.upsertJobScheduler(
      's',
      { every: 100, limit: 5 },
      { name: 'work', data: { key: 'k' } },
    );
    await addMany(queue, 5);
    await completed(queue, 10);
    await sleep(300);
    expect(await queue.getCompletedCount()).toBe(10);
    expect(log.overlaps).toEqual([]);
  });
});
