// What becomes of a line when its jobs fail or are outdated, and what is seen of it.
import { LockArgumentError } from '@holdfast/core';
import { guard, type Guard } from '@holdfast/bullmq';
import { UnrecoverableError, type Job } from 'bullmq';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { add, completed, jobNow, range, until, type Data } from './kit/index.ts';
import { NEVER, OrderedSite, parked, settled } from './kit/ordered.ts';

const site = new OrderedSite();

describe('behind a job that fails', () => {
  /** Jobs of one key, of which the first fails so many times. */
  async function failing(
    onFailure: 'continue' | 'hold' | undefined,
    failures: number,
    { attempts, error = new Error('failed') }: { attempts: number; error?: Error },
  ) {
    const queue = site.queue();
    const ran: number[] = [];
    const order = { queue, redis: site.client(), onFailure };
    const processor = async (job: Job<Data>): Promise<void> => {
      ran.push(job.data.n ?? 0);
      if (job.data.n === 1 && job.attemptsMade < failures) throw error;
    };
    // A key of its own: what jobs of another queue release is noticed only after the safety delay.
    const key = queue.name;
    await add(queue, { key, n: 1 }, { attempts, backoff: onFailure === 'hold' ? 200 : 2_000 });
    for (const n of [2, 3]) await add(queue, { key, n });
    const given = site.options(queue, { order });
    site.worker(queue, guard(given, processor), { concurrency: 3 });
    await until(
      async () => (await queue.getCompletedCount()) + (await queue.getFailedCount()) === 3,
    );
    await until(async () => (await site.traces(queue)).length === 0);
    return ran;
  }

  test("the others go on with `onFailure: 'continue'`, the default", async () => {
    const ways = [undefined, 'continue'] as const;
    const ran = await Promise.all(ways.map((way) => failing(way, 1, { attempts: 2 })));
    for (const order of ran) expect(order).toEqual([1, 2, 3, 1]);
  });

  test("the others wait with `onFailure: 'hold'` until it succeeds", async () => {
    expect(await failing('hold', 2, { attempts: 3 })).toEqual([1, 1, 1, 2, 3]);
  });

  test("the others wait with `onFailure: 'hold'` until it gives up", async () => {
    expect(await failing('hold', 9, { attempts: 2 })).toEqual([1, 1, 2, 3]);
    const error = new UnrecoverableError('never');
    expect(await failing('hold', 9, { attempts: 5, error })).toEqual([1, 2, 3]);
  });

  test.each([
    ['', undefined],
    [' for longer than its ttl', 500],
  ])("none that asked while it ran%s goes before it with `onFailure: 'hold'`", async (_, ttl) => {
    const queue = site.queue();
    const key = queue.name;
    const ran: number[] = [];
    const [failed, asking] = [site.gate(), site.gate()];
    const order = { queue, redis: site.client(), onFailure: 'hold' as const };
    const processor = async (job: Job<Data>): Promise<void> => {
      ran.push(job.data.n ?? 0);
      if (job.data.n !== 1 || job.attemptsMade > 0) return;
      await failed.opened;
      throw new Error('failed');
    };
    const one = guard(site.options(queue, { order, ttl }), processor);
    const first = await add(queue, { key, n: 1 }, { attempts: 2, backoff: 500 });
    site.worker(queue, one, { concurrency: 1 });
    await until(async () => (await one.line(key)).running.length === 1);
    if (ttl !== undefined) await sleep(ttl + 100);
    // The other worker's requests for locks are slow.
    const locker = site.locker();
    const lock = locker.lock.bind(locker);
    let asked = false;
    Object.assign(locker, {
      lock: async (...given: Parameters<typeof lock>) => {
        asked = true;
        await asking.opened;
        return lock(...given);
      },
    });
    const other = guard(site.options(queue, { order, locker, ttl }), processor);
    await add(queue, { key, n: 2 });
    site.worker(queue, other, { concurrency: 1 });
    await until(async () => asked || (await queue.getDelayedCount()) === 1);
    failed.open();
    await until(async () => (await jobNow(queue, first)).attemptsMade === 1);
    asking.open();
    await completed(queue, 2);
    expect(ran).toEqual([1, 1, 2]);
  });

  test("its line is held before its lock is released with `onFailure: 'hold'`", async () => {
    const queue = site.queue();
    const key = queue.name;
    const ran: number[] = [];
    const released = site.gate();
    const order = { queue, redis: site.client(), onFailure: 'hold' as const };
    const processor = async (job: Job<Data>): Promise<void> => {
      ran.push(job.data.n ?? 0);
      if (job.data.n === 1 && job.attemptsMade === 0) throw new Error('failed');
    };
    const locker = site.locker();
    const lock = locker.lock.bind(locker);
    const seen: (string | undefined)[][] = [];
    Object.assign(locker, {
      lock: async (...given: Parameters<typeof lock>) => {
        const taken = await lock(...given);
        const release = taken.release.bind(taken);
        return Object.assign(taken, {
          release: async () => {
            const { running, waiting } = await guarded.line(key);
            seen.push([running[0]?.id, waiting[0]?.id]);
            await released.opened;
            return release();
          },
        });
      },
    });
    const guarded = guard(site.options(queue, { order, locker }), processor);
    const first = await add(queue, { key, n: 1 }, { attempts: 2, backoff: 200 });
    const second = await add(queue, { key, n: 2 });
    site.worker(queue, guarded, { concurrency: 2 });
    await until(async () => seen.length === 1 && (await queue.getDelayedCount()) === 1);
    released.open();
    await completed(queue, 2);
    expect(ran).toEqual([1, 1, 2]);
    expect(seen).toEqual([
      [undefined, first.id],
      [first.id, second.id],
      [second.id, undefined],
    ]);
  });

  test("one that waits in its slot gives it to the job that it waits for with `onFailure: 'hold'`", async () => {
    const queue = site.queue();
    const ran: number[] = [];
    const order = { queue, redis: site.client(), onFailure: 'hold' as const };
    const processor = async (job: Job<Data>): Promise<void> => {
      ran.push(job.data.n ?? 0);
      if (job.data.n === 1 && job.attemptsMade < 2) throw new Error('failed');
    };
    for (const n of range(3)) await add(queue, { key: 'k', n }, { attempts: 3, backoff: 10 });
    site.worker(queue, guard(site.options(queue, { order, wait: Infinity }), processor), {
      concurrency: 1,
    });
    await completed(queue, 3);
    expect(ran).toEqual([1, 1, 1, 2, 3]);
  });

  test("the others go on with `onFailure: 'hold'` when it is removed", async () => {
    const queue = site.queue();
    const ran: number[] = [];
    const order = { queue, redis: site.client(), onFailure: 'hold' as const };
    const processor = async (job: Job<Data>): Promise<void> => {
      ran.push(job.data.n ?? 0);
      if (job.data.n === 1) throw new Error('failed');
    };
    const first = await add(queue, { key: 'k', n: 1 }, { attempts: 5, backoff: NEVER });
    await add(queue, { key: 'k', n: 2 });
    const given = site.options(queue, { order, delay: 300 });
    site.worker(queue, guard(given, processor), { concurrency: 2 });
    await parked(queue, 2);
    await settled();
    await first.remove();
    await completed(queue, 1);
    expect(ran).toEqual([1, 2]);
  });
});

describe("with `onLocked: 'latest'`", () => {
  test('only the job that was added last runs of those that wait', async () => {
    const queue = site.queue();
    const { log, end } = await site.heldWorker(queue, { onLocked: 'latest' });
    for (const n of range(5)) {
      await add(queue, { key: 'k', n }, { priority: n % 2 });
      await until(async () => (await queue.getDelayedCount()) === 1);
      await until(async () => (await queue.getCompletedCount()) === n - 1);
    }
    end.open();
    await completed(queue, 6);
    expect(log.ended).toEqual([0, 5]);
    expect(await queue.getFailedCount()).toBe(0);
    await until(async () => (await site.traces(queue)).length === 0);
  });

  test('jobs of other keys are left alone', async () => {
    const queue = site.queue();
    const locks = [await site.locker().lock('a'), await site.locker().lock('b')];
    const ran: number[] = [];
    const given = site.options(queue, { onLocked: () => 'latest', delay: 300 });
    site.worker(
      queue,
      guard<Data>(given, async (job) => void ran.push(job.data.n ?? 0)),
      { concurrency: 4 },
    );
    for (const [n, key] of ['a', 'b', 'a', 'b'].entries()) {
      await add(queue, { key, n });
      await until(async () => (await queue.getActiveCount()) === 0);
      await settled();
    }
    await until(async () => (await queue.getCompletedCount()) === 2);
    for (const lock of locks) await lock.release();
    await completed(queue, 4);
    expect(ran.toSorted((a, b) => a - b)).toEqual([2, 3]);
  });

  test('the guard must have `order`', () => {
    const locker = site.locker();
    const make = () => guard({ locker, key: 'k', onLocked: 'latest' }, async () => {});
    expect(make).toThrow(LockArgumentError);
    expect(make).toThrow(/'latest' only with `order`/);
  });
});

describe('`line` of a guard', () => {
  test('tells who runs and who waits, since when, from any process', async () => {
    const queue = site.queue();
    const begun = Date.now();
    const end = site.gate();
    const guarded: Guard<Data> = guard<Data>(site.options(queue), () => end.opened);
    const other = guard<Data>(site.options(queue), async () => {});
    expect(await other.line('k')).toEqual({ key: 'k', running: [], waiting: [], total: 0 });
    site.worker(queue, guarded, { concurrency: 2 });
    await add(queue, { key: 'k', n: 0 });
    for (const n of range(3)) await add(queue, { key: 'k', n });
    await parked(queue, 3);
    await settled();
    const { running, waiting, total } = await other.line('k');
    expect(running).toMatchObject([{ id: '1', name: 'work' }]);
    expect(waiting.map(({ id }) => id)).toEqual(['2', '3', '4']);
    expect(total).toBe(3);
    for (const { since } of [...running, ...waiting]) {
      expect(Math.abs(since - begun)).toBeLessThan(600_000);
    }
    end.open();
    await completed(queue, 4);
    await until(async () => (await other.line('k')).running.length === 0);
  });

  test('shows a job to itself as the one that runs', async () => {
    const queue = site.queue();
    const seen: string[] = [];
    const guarded: Guard<Data> = guard<Data>(site.options(queue), async () => {
      seen.push(...(await guarded.line('k')).running.map(({ id }) => id));
    });
    site.worker(queue, guarded);
    const job = await add(queue, { key: 'k' });
    await completed(queue, 1);
    expect(seen).toEqual([job.id]);
  });

  test('rejects without `order`, and for what is no key', async () => {
    const queue = site.queue();
    const plain = guard({ locker: site.locker(), key: 'k' }, async () => {});
    await expect(plain.line('k')).rejects.toThrow(/`line` tells who waits only with `order`/);
    const ordered = guard(site.options(queue), async () => {});
    await expect(ordered.line('')).rejects.toThrow(LockArgumentError);
  });
});

describe('a parked job', () => {
  test('shows dashboards that it waits, and begins without that', async () => {
    const queue = site.queue();
    const end = site.gate();
    const progress: unknown[] = [];
    site.worker(
      queue,
      guard<Data>(site.options(queue), async (job) => {
        progress.push(job.progress);
        if (job.data.n === 0) await end.opened;
      }),
      { concurrency: 2 },
    );
    await add(queue, { key: 'k', n: 0 });
    await until(() => progress.length === 1);
    const waiting = await add(queue, { key: 'k', n: 1 });
    await parked(queue, 1);
    await until(async () => (await jobNow(queue, waiting)).progress !== 0);
    expect((await jobNow(queue, waiting)).progress).toEqual({
      holdfast: 'parked: waits for its key',
      since: expect.any(Number) as number,
      ahead: 1,
    });
    end.open();
    await completed(queue, 2);
    expect(progress).toEqual([0, 0]);
    expect((await jobNow(queue, waiting)).progress).toBe(0);
  });

  test('keeps the progress that it has made', async () => {
    const queue = site.queue();
    const { end } = await site.heldWorker(queue);
    const job = await add(queue, { key: 'k', n: 1 }, { delay: 300 });
    await job.updateProgress(42);
    await until(async () => (await jobNow(queue, job)).attemptsStarted === 1);
    await parked(queue, 1);
    await settled();
    expect((await jobNow(queue, job)).progress).toBe(42);
    end.open();
    await completed(queue, 2);
  });
});
