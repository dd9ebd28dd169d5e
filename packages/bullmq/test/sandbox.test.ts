// A guarded processor in a file of its own, which BullMQ runs in processes or threads.
import type { Worker } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { useProgram } from './kit/bundle.ts';
import { add, completed, jobsOf, onBullmq, range, Site, until } from './kit/index.ts';

const site = new Site();
const processor = useProgram('processor');

/** Its processes and threads are told by the environment. */
async function sandbox(useWorkerThreads: boolean, ordered: boolean, delay = 100) {
  const queue = site.queue();
  Object.assign(process.env, {
    SANDBOX_URL: site.redis.url,
    SANDBOX_QUEUE: queue.name,
    SANDBOX_ORDER: ordered ? 'yes' : '',
    SANDBOX_DELAY: String(delay),
  });
  const worker: Worker = site.worker(queue, processor.file, {
    concurrency: 3,
    useWorkerThreads,
  });
  const client = site.client();
  const log = (): Promise<string[]> => client.lrange(`${queue.name}:log`, 0, -1);
  return { queue, worker, log };
}

describe.each([
  ['processes', false],
  ['threads', true],
])('in sandboxes that are %s,', (_, threads) => {
  test('jobs of a key run one at a time, in order, in few starts', async () => {
    const { queue, log } = await sandbox(threads, true, 600_000);
    for (const n of range(12)) await add(queue, { key: 'k', n });
    await completed(queue, 12);
    expect(await log()).toEqual(range(12).map((n) => `begin string held ${n}`));
    const starts = (await jobsOf(queue)).reduce((sum, job) => sum + job.attemptsStarted, 0);
    expect(starts / 12).toBeLessThanOrEqual(3);
  });

  test('jobs of a key are deferred without an order, without an attempt burnt', async () => {
    const { queue, log } = await sandbox(threads, false);
    for (const n of range(6)) await add(queue, { key: 'k', n }, { attempts: 1 });
    await completed(queue, 6);
    expect((await log()).toSorted()).toEqual(range(6).map((n) => `begin string held ${n}`));
    expect((await jobsOf(queue)).map((job) => job.attemptsMade)).toEqual(range(6).map(() => 1));
  });

  test('a worker that closes while its jobs are deferred leaves none of them active', async () => {
    // No job comes back before the worker is closed: older ones would start it again.
    const { queue, worker, log } = await sandbox(threads, false, 600_000);
    const lock = await site.locker().lock('k');
    const starts = async (): Promise<number> =>
      (await jobsOf(queue)).reduce((sum, job) => sum + job.attemptsStarted, 0);
    await queue.addBulk(range(60).map((n) => ({ name: 'work', data: { key: 'k', n } })));
    await until(async () => (await queue.getDelayedCount()) > 0);
    const before = await starts();
    await worker.close();
    expect(await queue.getActiveCount()).toBe(0);
    expect(await log()).toEqual([]);
    // Older ones first start what else waits.
    const most = onBullmq === '5.64' ? Infinity : 40;
    expect((await starts()) - before).toBeLessThan(most);
    await lock.release();
  });

  // Older ones tell no sandbox that its job is cancelled.
  test.skipIf(onBullmq === '5.64')('a job learns that it is cancelled', async () => {
    const { queue, worker, log } = await sandbox(threads, false);
    const job = await add(queue, { key: 'k', n: -1 });
    await until(async () => (await log()).length === 1);
    worker.cancelJob(job.id as string, 'enough');
    await completed(queue, 1);
    expect(await log()).toEqual(['begin string held -1', 'aborted LockAbortedError -1']);
  });
});
