// How the guard meets the features of BullMQ: what the README's section says.
import { setTimeout as sleep } from 'node:timers/promises';
import { guard } from '@holdfast/bullmq';
import { FlowProducer, type Job } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { add, completed, jobNow, jobsOf, Log, range, until, type Data } from './kit/index.ts';
import { logging, NEVER, OrderedSite, parked, settled } from './kit/ordered.ts';

const site = new OrderedSite();

test('a limiter counts at most one start in vain per job, with `order`', async () => {
  const queue = site.queue();
  const log = new Log();
  let starts = 0;
  const worker = site.worker(queue, guard(site.options(queue), logging(log)), {
    concurrency: 5,
    limiter: { max: 5, duration: 100 },
  });
  worker.on('active', () => (starts += 1));
  for (const n of range(20)) await add(queue, { key: 'k', n });
  await completed(queue, 20);
  expect(log.ended).toEqual(range(20));
  expect(starts).toBeLessThanOrEqual(40);
});

test.each(['skip', 'latest'] as const)(
  "a scheduler that is faster than its job piles nothing up with `onLocked: '%s'`",
  async (onLocked) => {
    const queue = site.queue();
    const { end } = await site.heldWorker(queue, { onLocked });
    const template = { name: 'work', data: { key: 'k' } };
    await queue.upsertJobScheduler('s', { every: 50, limit: 12 }, template);
    await until(async () => (await queue.getCompletedCount()) >= 8);
    // The next iteration, and the one that waits.
    expect(await queue.getDelayedCount()).toBeLessThanOrEqual(3);
    end.open();
    await completed(queue, 9);
  },
);

test('a parent that waits for its children lets them have its key', async () => {
  const queue = site.queue();
  const flows = new FlowProducer({ connection: site.connection });
  site.atEnd(() => flows.close());
  const log = new Log();
  site.worker(queue, guard(site.options(queue), logging(log)), { concurrency: 3 });
  const child = (n: number) => ({
    name: 'work',
    queueName: queue.name,
    data: { key: 'k', n },
  });
  await flows.add({ ...child(0), children: [child(1), child(2)] });
  await completed(queue, 3);
  expect(log.ended.at(-1)).toBe(0);
});

/**
 * Parks three jobs behind one that is held, and has the last of them promoted as a dashboard does it.
 *
 * @returns the jobs in the order in which they ran
 */
async function promoteLast(
  priority?: number,
  change: (last: Job<Data>) => Promise<unknown> = async () => {},
): Promise<readonly number[]> {
  const queue = site.queue();
  const { log, end } = await site.heldWorker(queue);
  for (const n of range(3)) await add(queue, { key: 'k', n }, priority ? { priority } : {});
  await parked(queue, 3);
  await settled();
  const last = (await jobsOf(queue)).find((job) => job.data.n === 3) as Job<Data>;
  await change(last);
  await last.promote();
  await until(async () => (await jobNow(queue, last)).attemptsStarted === 2);
  await parked(queue, 3);
  await settled();
  end.open();
  await completed(queue, 4);
  return log.ended;
}

test('a job that a dashboard promotes is parked again, and runs in its order', async () => {
  expect(await promoteLast()).toEqual([0, 1, 2, 3]);
});

test('a parked job whose priority was changed takes its new place when it is promoted', async () => {
  const ended = await promoteLast(5, (last) => last.changePriority({ priority: 1 }));
  expect(ended).toEqual([0, 3, 1, 2]);
});

test('a parked job that deduplication replaces clears its place away', async () => {
  const queue = site.queue();
  const { log, end } = await site.heldWorker(queue);
  const deduplication = { id: 'd', ttl: 600_000, extend: true, replace: true };
  for (const n of [1, 2]) {
    await add(queue, { key: 'k', n }, { deduplication, delay: 1 });
    await until(async () => (await jobsOf(queue)).every((job) => job.attemptsStarted > 0));
    await parked(queue, 1);
    await settled();
  }
  end.open();
  await completed(queue, 2);
  expect(log.ended).toEqual([0, 2]);
  await until(async () => (await site.traces(queue)).length === 0);
});

test('a parked job takes no part of the global concurrency', async () => {
  const queue = site.queue();
  await queue.setGlobalConcurrency(2);
  const { log, end } = await site.heldWorker(queue);
  for (const n of range(3)) await add(queue, { key: 'k', n });
  await add(queue, { key: 'other', n: 9 });
  await parked(queue, 3);
  end.open();
  await completed(queue, 5);
  expect(log.ended.filter((n) => n !== 9)).toEqual([0, 1, 2, 3]);
});

describe('a worker that closes', () => {
  test.each([true, false])('starts nothing more, and resolves (order: %s)', async (ordered) => {
    const queue = site.queue();
    const locker = site.locker();
    const lock = await locker.lock('k');
    const { order, ...options } = site.options(queue, {
      locker,
      key: 'k',
      delay: ordered ? NEVER : 50,
      onLocked: () => 'defer',
    });
    const guarded = guard(ordered ? { ...options, order } : options, async () => {});
    let starts = 0;
    const worker = site.worker(queue, guarded, { concurrency: 2 });
    const closing = site.gate();
    worker.on('active', () => {
      starts += 1;
      if (starts === 10) closing.open();
    });
    await queue.addBulk(range(300).map((n) => ({ name: 'work', data: { key: 'k', n } })));
    await closing.opened;
    const before = starts;
    await worker.close();
    // Those that its slots had, and that were on their way.
    expect(starts - before).toBeLessThanOrEqual(10);
    expect(await queue.getActiveCount()).toBe(0);
    await lock.release();
  });

  test.each([
    { how: 'closes', ordered: true },
    { how: 'closes', ordered: false },
    { how: 'is paused', ordered: true },
    { how: 'is paused', ordered: false },
  ])('does not wait for jobs that wait in their slots ($how, order: $ordered)', async (one) => {
    const queue = site.queue();
    const { locker, waiting } = site.waitingLocker();
    const lock = await locker.lock('k');
    const { order, ...options } = site.options(queue, { locker, delay: 50, wait: Infinity });
    const guarded = guard(one.ordered ? { ...options, order } : options, async () => {});
    const worker = site.worker(queue, guarded, { concurrency: 2 });
    for (const n of range(2)) await add(queue, { key: 'k', n });
    await waiting.opened;
    await until(async () => (await queue.getActiveCount()) === 2);
    await (one.how === 'closes' ? worker.close() : worker.pause());
    expect(await queue.getActiveCount()).toBe(0);
    await lock.release();
    site.worker(queue, guarded);
    await completed(queue, 2);
    expect((await jobsOf(queue)).map((job) => job.attemptsMade)).toEqual([1, 1]);
  });

  test('starts nothing more when it is paused instead', async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    const worker = site.worker(
      queue,
      guard({ locker, key: 'k', delay: 50 }, async () => {}),
    );
    await queue.addBulk(range(50).map((n) => ({ name: 'work', data: { key: 'k', n } })));
    await until(async () => (await queue.getDelayedCount()) > 0);
    await worker.pause();
    const startsNow = async (): Promise<number> =>
      (await jobsOf(queue)).reduce((sum, job) => sum + job.attemptsStarted, 0);
    const starts = await startsNow();
    await sleep(200);
    expect(await startsNow()).toBe(starts);
  });
});
