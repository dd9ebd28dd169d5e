// What becomes of a run whose job BullMQ takes away, and of the run after it.
import { setTimeout as sleep } from 'node:timers/promises';
import { LockAbortedError, LockLostError } from '@holdfast/core';
import { guard, type StrictGuardOptions } from '@holdfast/bullmq';
import type { Queue, Worker } from 'bullmq';
import { describe, expect, test, vi } from 'vitest';
import { add, completed, jobNow, Site, until, type Data, type Gate } from './kit/index.ts';

const site = new Site();

interface Run {
  readonly token: number;
  readonly signal: AbortSignal;
  readonly end: Gate;
}

/** Two workers that do not know of each other; a job that stalls on one is started on the other. */
function twoWorkers(
  queue: Queue<Data>,
  options: (index: number) => Partial<StrictGuardOptions>,
  attached = true,
): { runs: Run[]; workers: Worker[] } {
  const runs: Run[] = [];
  const workers = [0, 1].map((index) => {
    const given = { locker: site.locker(), key: 'k', delay: 100, ...options(index) };
    const guarded = guard(given, async (_job, _token, signal, lock) => {
      const run = { token: lock.fencingToken, signal, end: site.gate() };
      runs.push(run);
      await run.end.opened;
      return runs.indexOf(run);
    });
    const worker = site.worker(queue, guarded, {
      lockDuration: 20_000,
      lockRenewTime: 400,
      stalledInterval: 200,
      maxStalledCount: 5,
    });
    if (attached) guarded.attach(worker);
    return worker;
  });
  site.atEnd(() => runs.forEach(({ end }) => end.open()));
  return { runs, workers };
}

/** As an operator may, or a Redis that forgets: BullMQ's own lock of a job is gone. */
async function takeAway(queue: Queue<Data>, id = ''): Promise<void> {
  await site.client().del(`${queue.toKey(id)}:lock`);
}

describe('when BullMQ loses its lock of a job', () => {
  test('an attached guard aborts its signal; the next run waits until its work ends', async () => {
    const queue = site.queue();
    const { runs, workers } = twoWorkers(queue, () => ({}));
    const failed: unknown[] = [];
    for (const worker of workers) worker.on('failed', (_, error) => failed.push(error));
    const job = await add(queue, { key: 'k' });
    await until(() => runs.length === 1);
    await takeAway(queue, job.id);
    await until(() => runs[0]?.signal.aborted);
    expect(runs[0]?.signal.reason).toBeInstanceOf(LockAbortedError);
    expect(String(runs[0]?.signal.reason)).toMatch(/BullMQ has lost its own lock/);
    await until(async () => (await jobNow(queue, job)).attemptsStarted > 2);
    expect(runs).toHaveLength(1);
    runs[0]?.end.open();
    await until(() => runs.length === 2);
    expect(runs[1]?.token).toBeGreaterThan(runs[0]?.token ?? Infinity);
    runs[1]?.end.open();
    await completed(queue, 1);
    expect((await jobNow(queue, job)).returnvalue).toBe(1);
    expect(failed).toEqual([]);
  });

  test('an attachment that was ended, and one to another worker, tell nothing', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const runs: AbortSignal[] = [];
    const end = site.gate();
    const guarded = guard({ locker, key: 'k' }, async (_job, _token, signal) => {
      runs.push(signal);
      await end.opened;
    });
    const worker = site.worker(queue, guarded, {
      lockDuration: 20_000,
      lockRenewTime: 400,
      skipStalledCheck: true,
    });
    guarded.attach(worker)();
    guarded.attach(site.worker(site.queue(), guarded));
    const told = site.gate();
    worker.on('lockRenewalFailed', () => told.open());
    const job = await add(queue, { key: 'k' });
    await until(() => runs.length === 1);
    await takeAway(queue, job.id);
    await told.opened;
    expect(runs[0]?.aborted).toBe(false);
    end.open();
  });
});

describe("with `owner: 'job'`", () => {
  test.each([false, true])(
    'a job that stalled takes its own lock over at once, and its old run is told (order: %s)',
    async (ordered) => {
      const queue = site.queue();
      const order = { queue, redis: site.client() };
      // If its message is lost, the old run is told at its next renewal.
      const options = { owner: 'job', ttl: 20_000, delay: 60_000 } as const;
      const { runs } = twoWorkers(queue, () => (ordered ? { ...options, order } : options), false);
      const job = await add(queue, { key: 'k' });
      await until(() => runs.length === 1);
      const behind = await add(queue, { key: 'k', n: 2 });
      await until(async () => (await queue.getDelayedCount()) === 1);
      await takeAway(queue, job.id);
      await until(() => runs.length === 2);
      expect(runs[1]?.token).toBeGreaterThan(runs[0]?.token ?? Infinity);
      await until(() => runs[0]?.signal.aborted);
      expect(runs[0]?.signal.reason).toBeInstanceOf(LockLostError);
      expect(runs[0]?.signal.reason).toHaveProperty('reason', 'superseded');
      expect(runs[1]?.signal.aborted).toBe(false);
      // The end of the old run frees nothing and wakes nobody.
      runs[0]?.end.open();
      await sleep(300);
      expect(runs).toHaveLength(2);
      const holder = await site.locker().inspect('k');
      expect(holder?.owner).toBe(`bullmq:${queue.qualifiedName}:${job.id}`);
      expect(holder?.fencingToken).toBe(runs[1]?.token);
      runs[1]?.end.open();
      await completed(queue, 1);
      expect((await jobNow(queue, job)).returnvalue).toBe(1);
      if (!ordered) await behind.promote().catch(() => {});
      await until(() => runs.length === 3);
      runs[2]?.end.open();
      await completed(queue, 2);
    },
  );
});

test('`attach` warns of a worker with `maxStartedAttempts`', async () => {
  const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  site.atEnd(() => told.mockRestore());
  const locker = site.locker();
  const heard: string[] = [];
  locker.on('warning', ({ code }) => heard.push(code));
  const guarded = guard({ locker, key: 'k' }, async () => {});
  guarded.attach(site.worker(site.queue(), guarded));
  expect(heard).toEqual([]);
  guarded.attach(site.worker(site.queue(), guarded, { maxStartedAttempts: 5 }));
  await until(() => heard.length > 0);
  expect(heard).toEqual(['HOLDFAST_MAX_STARTED_ATTEMPTS']);
  const code = 'HOLDFAST_MAX_STARTED_ATTEMPTS';
  expect(told).toHaveBeenCalledWith(expect.stringContaining('maxStartedAttempts'), {
    type: 'HoldfastWarning',
    code,
  });
});

test('a run of a job that is started again in the same process is told', async () => {
  const locker = site.locker();
  const signals: AbortSignal[] = [];
  const queue = site.queue();
  const end = site.gate();
  const guarded = guard({ locker, key: () => null }, async (_job, _token, signal) => {
    signals.push(signal);
    await end.opened;
  });
  const job = await add(queue, { key: 'k' });
  const both = [guarded(job), guarded(job)];
  await until(() => signals.length === 2);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  end.open();
  await Promise.all(both);
});
