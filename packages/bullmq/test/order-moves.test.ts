// How a queue moves whose jobs wait for each other.
import { setTimeout as sleep } from 'node:timers/promises';
import { guard, type OrderRedis } from '@holdfast/bullmq';
import type { Job } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { add, completed, jobNow, jobsOf, range, until, type Data } from './kit/index.ts';
import { logging, NEVER, OrderedSite, parked, settled } from './kit/ordered.ts';
import { Log } from './kit/index.ts';

const site = new OrderedSite();

const bulk = (count: number, key: (n: number) => string, opts = {}) =>
  range(count).map((n) => ({ name: 'work', data: { key: key(n), n }, opts }));

/** A client that counts the calls of scripts. */
function counted(): { redis: OrderRedis; readonly calls: number } {
  const client = site.client();
  const counter = {
    calls: 0,
    redis: {
      evalsha: async (sha: string, keys: number, words: string[]) => {
        counter.calls += 1;
        return client.evalsha(sha, keys, words);
      },
      eval: (source: string, keys: number, words: string[]) => client.eval(source, keys, words),
    },
  };
  return counter;
}

describe('a woken job', () => {
  test('starts before a thousand jobs of other keys', async () => {
    const queue = site.queue();
    const order: string[] = [];
    const keys = [...range(6).map(() => 'hot'), ...range(1_000).map((n) => `key-${n}`)];
    await queue.addBulk(keys.map((key, n) => ({ name: 'work', data: { key, n } })));
    const processor = async (job: Job<Data>): Promise<void> => {
      await sleep(2);
      order.push(job.data.key);
    };
    site.worker(queue, guard(site.options(queue), processor), { concurrency: 5 });
    await until(() => order.filter((key) => key === 'hot').length === 6);
    expect(order.lastIndexOf('hot')).toBeLessThan(100);
  });

  test('starts among those of its priority, behind more urgent ones', async () => {
    const queue = site.queue();
    const { log, end } = await site.heldWorker(queue);
    const behind = await add(queue, { key: 'k', n: 1 }, { priority: 5 });
    await parked(queue, 1);
    await settled();
    await queue.pause();
    // One slot is free: the order in which these are started is that of BullMQ.
    for (const n of [3, 4]) await add(queue, { key: `other-${n}`, n }, { priority: 5 });
    await add(queue, { key: 'urgent', n: 2 }, { priority: 1 });
    await queue.resume();
    end.open();
    await completed(queue, 5);
    expect((await jobNow(queue, behind)).priority).toBe(5);
    expect(log.ended).toContain(1);
  });

  test('starts once its queue resumes, if that was paused meanwhile', async () => {
    const queue = site.queue();
    const { log, end } = await site.heldWorker(queue);
    await add(queue, { key: 'k', n: 1 });
    await parked(queue, 1);
    await settled();
    await queue.pause();
    end.open();
    await completed(queue, 1);
    await queue.resume();
    await completed(queue, 2);
    expect(log.ended).toEqual([0, 1]);
  });

  test('starts at once where two thousand jobs have its key', async () => {
    const queue = site.queue();
    await queue.addBulk(bulk(2_000, () => 'k'));
    const log = new Log();
    let starts = 0;
    const worker = site.worker(queue, guard(site.options(queue), logging(log, 1)), {
      concurrency: 20,
    });
    worker.on('active', () => (starts += 1));
    await until(() => log.ended.length >= 100);
    expect(log.ended.slice(0, 100)).toEqual(range(100));
    // They are parked without a start each.
    expect(starts - log.ended.length).toBeLessThan(100);
  });
});

test('jobs that are parked before their start pass none of their key that stayed', async () => {
  const queue = site.queue();
  const log = new Log();
  const keys = (n: number): string => (n <= 6 ? 'hot' : `key-${n % 20}`);
  await queue.addBulk(bulk(400, keys));
  for (let n = 0; n < 2; n++) {
    site.worker(queue, guard(site.options(queue), logging(log, 2)), { concurrency: 10 });
  }
  await completed(queue, 400);
  for (const key of new Set(range(400).map(keys))) {
    const ended = log.ended.filter((n) => keys(n) === key);
    expect(ended).toEqual(ended.toSorted((a, b) => a - b));
  }
  expect(log.overlaps).toEqual([]);
});

test('a burst of 3,000 jobs does not hold up the first job of another key', async () => {
  const queue = site.queue();
  await queue.addBulk(bulk(3_000, () => 'burst'));
  await add(queue, { key: 'other', n: 0 });
  let starts = 0;
  const before = site.gate();
  let seen = Infinity;
  const worker = site.worker(
    queue,
    guard<Data>(site.options(queue), async (job) => {
      if (job.data.key === 'other') {
        seen = starts;
        before.open();
      }
      await sleep(20);
    }),
    { concurrency: 20 },
  );
  worker.on('active', () => (starts += 1));
  await before.opened;
  expect(seen).toBeLessThanOrEqual(50);
});

describe.each([10, 50, 200])('where keys take a while and %i jobs run at a time', (concurrency) => {
  test.each([1, 2])(
    'a job costs one call of its key and few scripts (%i workers)',
    async (workers) => {
      const queue = site.queue();
      const counter = counted();
      let calls = 0;
      const key = async (job: Job<Data>): Promise<string> => {
        calls += 1;
        await sleep(5 + Math.random() * 5);
        return job.data.key;
      };
      await queue.addBulk(bulk(400, (n) => `key-${n}`));
      const order = { queue, redis: counter.redis };
      const given = site.options(queue, { key, order });
      for (let n = 0; n < workers; n++) {
        site.worker(
          queue,
          guard(given, async () => {}),
          { concurrency },
        );
      }
      await completed(queue, 400);
      expect(calls / 400).toBeLessThanOrEqual(2);
      expect(counter.calls / 400).toBeLessThanOrEqual(4);
    },
  );
});

test('the commands that a job costs do not grow with the number of jobs that run', async () => {
  const client = site.client();
  const costs: number[] = [];
  for (const concurrency of [10, 200]) {
    const queue = site.queue();
    await queue.addBulk(bulk(400, (n) => `key-${n}`));
    const key = async (job: Job<Data>): Promise<string> => {
      await sleep(5 + Math.random() * 5);
      return job.data.key;
    };
    await client.config('RESETSTAT');
    const worker = site.worker(
      queue,
      guard(site.options(queue, { key }), async () => {}),
      { concurrency },
    );
    await completed(queue, 400);
    const stats = await client.info('commandstats');
    // Not those with which the test looks.
    const commands = [...stats.matchAll(/cmdstat_(\w+):calls=(\d+)/g)].filter(
      ([, name]) => name !== 'zcard' && name !== 'info',
    );
    costs.push(commands.reduce((sum, [, , calls]) => sum + Number(calls), 0) / 400);
    await worker.close();
  }
  const [few = 0, many = Infinity] = costs;
  expect(many).toBeLessThanOrEqual(few * 1.25);
});

describe('a job that is started before another one of its key, and tells its key later,', () => {
  test.each(['defer', 'skip', 'fail'] as const)(
    "runs first, without a start in vain (onLocked: '%s')",
    async (onLocked) => {
      const queue = site.queue();
      const log = new Log();
      const slow = site.gate();
      const locker = site.locker();
      // The second job has asked for its lock by then.
      locker.on('acquired', () => slow.open());
      const key = async (job: Job<Data>): Promise<string> => {
        if (job.data.n === 1) await slow.opened;
        return job.data.key;
      };
      const jobs = [];
      for (const n of [1, 2]) jobs.push(await add(queue, { key: 'k', n }));
      site.worker(queue, guard(site.options(queue, { locker, key, onLocked }), logging(log, 20)), {
        concurrency: 2,
      });
      const ended = async (): Promise<number> =>
        (await queue.getCompletedCount()) + (await queue.getFailedCount());
      await until(async () => (await ended()) === 2);
      expect(log.ended).toEqual(onLocked === 'defer' ? [1, 2] : [1]);
      const [first, second] = await Promise.all(jobs.map((job) => jobNow(queue, job)));
      expect(first?.attemptsStarted).toBe(1);
      expect(second?.attemptsStarted).toBeLessThanOrEqual(2);
      expect(await queue.getFailedCount()).toBe(onLocked === 'fail' ? 1 : 0);
      expect(await locker.inspect('k')).toBeNull();
    },
  );
});

test.each(['a job', 'other code'])(
  'jobs whose key is held by %s are looked after without a start, and start three times at most',
  async (who) => {
    const queue = site.queue();
    const [started, end] = [site.gate(), site.gate()];
    const lock = who === 'a job' ? undefined : await site.locker().lock('k');
    const log = new Log();
    const processor = async (job: Job<Data>): Promise<void> => {
      const done = log.begin(job.data);
      started.open();
      if (job.data.n === 0) await end.opened;
      done();
    };
    // Ample time to look after them, however busy the machine is.
    site.worker(queue, guard(site.options(queue, { delay: 4_000 }), processor), {
      concurrency: 4,
      maxStartedAttempts: 5,
    });
    if (lock === undefined) {
      await add(queue, { key: 'k', n: 0 });
      await started.opened;
    }
    await queue.addBulk(bulk(10, () => 'k'));
    await parked(queue, 10);
    await site.lookedAfter(queue, 2);
    const starts = async (): Promise<number> =>
      Math.max(...(await jobsOf(queue)).map((job) => job.attemptsStarted));
    expect(await starts()).toBeLessThanOrEqual(2);
    end.open();
    await lock?.release();
    await completed(queue, lock === undefined ? 11 : 10);
    expect(log.ended.filter((n) => n > 0)).toEqual(range(10));
    expect(await starts()).toBeLessThanOrEqual(3);
    expect(await queue.getFailedCount()).toBe(0);
  },
);

describe('a job with hostile data', () => {
  test('of thousands of keys fails before anything is locked', async () => {
    const queue = site.queue();
    const counter = counted();
    const order = { queue, redis: counter.redis };
    const key = (job: Job<Data>) => range(job.data.n ?? 0).map((n) => `key-${n}`);
    site.worker(
      queue,
      guard(site.options(queue, { key, order }), async () => {}),
    );
    const greedy = await add(queue, { key: '', n: 4_000 });
    await until(async () => (await queue.getFailedCount()) === 1);
    expect((await jobNow(queue, greedy)).failedReason).toMatch(/4000 keys, and a job may have 100/);
    expect(counter.calls).toBe(0);
    await add(queue, { key: '', n: 100 });
    await completed(queue, 1);
  });

  test('of keys and ids like those of the guard meets no keys of the guard', async () => {
    const queue = site.queue();
    const log = new Log();
    site.worker(queue, guard(site.options(queue), logging(log)), { concurrency: 3 });
    const ids = ['holdfast:line:k', 'holdfast:order:line', '__proto__', 'a"b\n]', 'e\u0301😀'];
    const odd = ['holdfast:jobs', '__proto__', '!1', '\u0000', '\ud800', 'k'.repeat(10_000)];
    for (const [n, jobId] of ids.entries()) await add(queue, { key: 'k', n }, { jobId });
    for (const [n, key] of odd.entries()) await add(queue, { key, n: 10 + n });
    await completed(queue, ids.length + odd.length);
    const jobs = new Set(ids.map((id) => queue.toKey(id)));
    await until(async () => (await site.traces(queue)).every((key) => jobs.has(key)));
  });

  test.each([Number.NaN, -1, 1e300, Infinity])(
    'that makes its delay %s is deferred for a possible time',
    async (delay) => {
      const queue = site.queue();
      const locker = site.locker();
      const lock = await locker.lock('k');
      const { order: _, ...options } = site.options(queue, { locker, delay: () => delay });
      site.worker(
        queue,
        guard(options, async () => {}),
      );
      const job = await add(queue, { key: 'k' });
      await until(async () => (await jobNow(queue, job)).attemptsStarted > 0);
      await until(async () => (await job.getState()) !== 'active');
      const { delay: given } = await jobNow(queue, job);
      expect(given).toBeLessThanOrEqual(31_536_000_001);
      await lock.release();
    },
  );
});

test('a job that never tells its key is given up by those behind it', async () => {
  const queue = site.queue();
  const stuck = site.gate();
  const key = async (job: Job<Data>): Promise<string> => {
    if (job.data.n === 0) await stuck.opened;
    return job.data.key;
  };
  const log = new Log();
  site.worker(queue, guard(site.options(queue, { key, delay: NEVER }), logging(log)), {
    concurrency: 3,
  });
  await add(queue, { key: 'k', n: 0 });
  for (const n of [1, 2]) await add(queue, { key: 'k', n });
  await completed(queue, 2);
  expect(log.ended).toEqual([1, 2]);
  stuck.open();
  await completed(queue, 3);
});
