// Jobs of a key in order: parked, and woken when it is their turn.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, memoryStore, type Locker } from '@holdfast/core';
import { guard, type GuardOptions, type OrderQueue } from '@holdfast/bullmq';
import type { Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  add,
  addMany,
  completed,
  gate,
  jobNow,
  jobsOf,
  Log,
  range,
  Site,
  traces,
  until,
  type Data,
  type Gate,
} from './kit/index.ts';

const site = new Site();
const keyOf = (job: { data: { key: string } }): string => job.data.key;

let client: Redis;
beforeEach(() => {
  client = site.client();
});

/** Long enough that nothing in a test happens because of it. */
const NEVER = 3_600_000;

function options(queue: Queue<Data>, more: Partial<GuardOptions<Data>> = {}): GuardOptions<Data> {
  const order = { queue, redis: site.client() };
  return { locker: site.locker(), key: keyOf, order, delay: NEVER, ...more };
}

function logging(log: Log, ms = 0) {
  return async (job: Job<Data>): Promise<void> => {
    const end = log.begin(job.data);
    await sleep(ms);
    end();
  };
}

async function startsOf(queue: Queue<Data>): Promise<number> {
  const jobs = await jobsOf(queue);
  return jobs.reduce((sum, job) => sum + job.attemptsStarted, 0) / jobs.length;
}

/** A worker whose jobs run until the test says so, and a job of it that runs. */
async function heldWorker(
  queue: Queue<Data>,
  more: Partial<GuardOptions<Data>> = {},
): Promise<{ log: Log; end: Gate }> {
  const log = new Log();
  const end = gate();
  const started = gate();
  site.worker(
    queue,
    guard(options(queue, more), async (job) => {
      const done = log.begin(job.data);
      started.open();
      await end.opened;
      done();
    }),
    { concurrency: 2 },
  );
  await add(queue, { key: 'k', n: 0 });
  await started.opened;
  return { log, end };
}

const parked = (queue: Queue<Data>, count: number): Promise<void> =>
  until(async () => (await queue.getDelayedCount()) === count);

/** Their wake-ups are no longer lost: the guard has looked again. */
const settled = (): Promise<void> => sleep(100);

describe('jobs of a key', () => {
  test('run in the order of adding over two workers, woken by releases, in few starts', async () => {
    const queue = site.queue();
    const log = new Log();
    for (let i = 0; i < 2; i++) {
      site.worker(queue, guard(options(queue), logging(log, 5)), { concurrency: 4 });
    }
    await addMany(queue, 40);
    await completed(queue, 40);
    expect(log.overlaps).toEqual([]);
    expect(log.ended).toEqual(range(40));
    expect(await startsOf(queue)).toBeLessThanOrEqual(3);
    expect(new Set((await jobsOf(queue)).map((job) => job.attemptsMade))).toEqual(new Set([1]));
    await until(async () => (await traces(client, queue)).length === 0);
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
      site.worker(queue, guard(options(queue), logging(log, 2)), { concurrency: 3 });
    }
    await completed(queue, 60);
    for (const rest of [0, 1, 2]) {
      const ended = log.ended.filter((n) => n % 3 === rest);
      expect(ended).toEqual(ended.toSorted((a, b) => a - b));
    }
    expect(log.overlaps).toEqual([]);
    expect(await startsOf(queue)).toBeLessThanOrEqual(3);
  });

  test('take their places in the order in which they were started, whoever asks first', async () => {
    const queue = site.queue();
    const log = new Log();
    const slow = gate();
    // The first job is started first, and its worker takes its time before it asks.
    const key = async (job: Job<Data>): Promise<string> => {
      if (job.data.n === 1) await slow.opened;
      return job.data.key;
    };
    const shared = options(queue, { key });
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
    const unguarded = gate();
    const guarded = guard(options(queue), logging(log));
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
    const { log, end } = await heldWorker(queue);
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

  test('stay parked, without starts, for as long as the one before them runs', async () => {
    const queue = site.queue();
    const { log, end } = await heldWorker(queue, { delay: 600 });
    await addMany(queue, 3);
    await parked(queue, 3);
    await sleep(2_000);
    const starts = (await jobsOf(queue)).map((job) => job.attemptsStarted);
    // On a machine that stands still for longer than the delay, the first of the line looks for itself.
    expect(starts.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(6);
    end.open();
    await completed(queue, 4);
    expect(log.ended).toEqual([0, 1, 2, 3]);
  });

  test('of several keys wait for all of them, without deadlock', async () => {
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
      site.worker(queue, guard(options(queue, { key: keys }), processor), { concurrency: 5 });
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
      site.worker(queue, guard(options(queue), logging(log, 2)), {
        concurrency: 4,
        maxStartedAttempts: 5,
      });
    }
    await addMany(queue, 40);
    await completed(queue, 40);
    expect(await queue.getFailedCount()).toBe(0);
  });

  test('that fail leave the line, and come back to their place', async () => {
    const queue = site.queue();
    const attempts: string[] = [];
    site.worker(
      queue,
      guard(options(queue), async (job) => {
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
    await until(async () => (await traces(client, queue)).length === 0);
  });

  test('wait in their slot for up to `wait`, in order too', async () => {
    const queue = site.queue();
    const log = new Log();
    site.worker(queue, guard(options(queue, { wait: 30_000 }), logging(log, 5)), {
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
      site.worker(queue, guard(options(queue, { locker }), logging(log, 2)), { concurrency: 4 });
    }
    await addMany(queue, 20);
    await completed(queue, 20);
    expect(log.ended).toEqual(range(20));
  });

  test('may be of job schedulers, each iteration once', async () => {
    const queue = site.queue();
    const log = new Log();
    site.worker(queue, guard(options(queue), logging(log, 30)), { concurrency: 4 });
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

describe('a lock that other code releases', () => {
  test('is noticed within the safety delay', async () => {
    const queue = site.queue();
    const log = new Log();
    const given = options(queue, { delay: 300 });
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
    site.worker(queue, guard(options(queue, { locker }), logging(log)));
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
    site.worker(queue, guard(options(queue, { locker: odd }), logging(log)));
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
    const given = options(queue, { order, delay: 250 });
    site.worker(queue, guard(given, logging(log, 5)), { concurrency: 3 });
    await addMany(queue, 6);
    await completed(queue, 6);
    expect(log.ended).toEqual(range(6));
  });

  test('the first of a line of many is never away for longer than the safety delay', async () => {
    const queue = site.queue();
    const { log, end } = await heldWorker(queue, { delay: 600 });
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

describe('no key is left behind', () => {
  test('when a parked job is removed', async () => {
    const queue = site.queue();
    const { log, end } = await heldWorker(queue);
    const [first, second] = [
      await add(queue, { key: 'k', n: 1 }),
      await add(queue, { key: 'k', n: 2 }),
    ];
    await parked(queue, 2);
    await first.remove();
    end.open();
    await completed(queue, 2);
    expect(log.ended).toEqual([0, 2]);
    expect((await jobNow(queue, second)).attemptsStarted).toBe(2);
    await until(async () => (await traces(client, queue)).length === 0);
  });

  test.each(['removed', 'drained', 'obliterated'])(
    'when the jobs are %s while other code holds the lock',
    async (how) => {
      const queue = site.queue();
      const lock = await site.locker().lock('k');
      const worker = site.worker(
        queue,
        guard(options(queue, { delay: 400 }), async () => {}),
        {
          concurrency: 3,
        },
      );
      await addMany(queue, 3);
      await parked(queue, 3);
      expect(await traces(client, queue)).not.toEqual([]);
      if (how === 'removed') for (const job of await queue.getDelayed()) await job.remove();
      if (how === 'drained') await queue.drain(true);
      if (how === 'obliterated') {
        await worker.pause();
        await queue.obliterate({ force: true });
      }
      await until(async () => (await traces(client, queue)).length === 0);
      await lock.release();
    },
  );

  test('for ever: what a crash leaves expires', async () => {
    const queue = site.queue();
    const { end } = await heldWorker(queue);
    await addMany(queue, 1);
    await parked(queue, 1);
    const left = await Promise.all((await traces(client, queue)).map((key) => client.pttl(key)));
    expect(left.length).toBe(2);
    for (const ms of left) {
      expect(ms).toBeGreaterThan(0);
      expect(ms).toBeLessThanOrEqual(86_400_000);
    }
    end.open();
    await completed(queue, 2);
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
    guard<Data>(options(queue, { onLocked }), async (job) => {
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
  await until(async () => (await traces(client, queue)).length === 0);
});

test('a job in a line fails after `maxDeferral`', async () => {
  const queue = site.queue();
  await site.locker().lock('k');
  site.worker(
    queue,
    guard(options(queue, { delay: 60, maxDeferral: 500 }), async () => {}),
  );
  const job = await add(queue, { key: 'k' });
  await until(async () => (await queue.getFailedCount()) === 1);
  expect((await jobNow(queue, job)).failedReason).toMatch(/^The lock is busy: not acquired within/);
  await until(async () => (await traces(client, queue)).length === 0);
});

test('an `order.redis` that is not where the queue is fails the job, and says so', async () => {
  const queue = site.queue();
  const redis = site.client();
  await redis.select(5);
  site.worker(
    queue,
    guard(options(queue, { order: { queue, redis } }), async () => {}),
  );
  const job = await add(queue, { key: 'k' });
  await until(async () => (await queue.getFailedCount()) === 1);
  expect((await jobNow(queue, job)).failedReason).toMatch(/`order.redis` does not find this job/);
});
