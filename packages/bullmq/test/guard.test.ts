// What a guarded processor is, and what it hands on.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  currentLock,
  LockAbortedError,
  LockArgumentError,
  LockLostError,
  type Lock,
} from '@holdfast/core';
import { guard, type GuardOptions } from '@holdfast/bullmq';
import { DelayedError, UnrecoverableError, WaitingChildrenError, Worker } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { add, completed, jobNow, Site, until, type Data } from './kit/index.ts';

const site = new Site();

describe('a guarded processor', () => {
  test('names three parameters, so that BullMQ hands it the signal', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const seen: unknown[] = [];
    const guarded = guard({ locker, key: 'k' }, async (job, token, signal, lock) => {
      seen.push(typeof token, signal instanceof AbortSignal, signal === lock.signal, lock.key);
      seen.push(currentLock('k') === lock, lock.fencingToken > 0);
      return job.id;
    });
    expect(guarded).toHaveLength(3);
    site.worker(queue, guarded);
    const job = await add(queue, { key: 'k' });
    await completed(queue, 1);
    expect(seen).toEqual(['string', true, true, 'k', true, true]);
    expect((await jobNow(queue, job)).returnvalue).toBe(job.id);
    expect(await locker.inspect('k')).toBeNull();
  });

  test('runs as many jobs of a key at once as the limit says', async () => {
    const queue = site.queue();
    const locker = site.locker();
    let running = 0;
    let most = 0;
    const guarded = guard({ locker, key: 'k', limit: 2, delay: 50 }, async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(30);
      running -= 1;
    });
    for (let n = 0; n < 8; n++) await add(queue, { key: 'k' });
    site.worker(queue, guarded, { concurrency: 5 });
    await completed(queue, 8);
    expect(most).toBe(2);
    expect(await locker.inspect('k')).toBeNull();
  });

  test('runs without a lock where the key is null, and fails where there is none', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const answers = [null, undefined, '', [], ['a', '']];
    const key = (job: { data: { n?: number } }): string | null => {
      if (job.data.n === 5) throw new Error('no such account');
      return answers[job.data.n ?? 0] as string | null;
    };
    const locks: (Lock | undefined)[] = [];
    site.worker(
      queue,
      guard<{ n?: number }>({ locker, key }, async (_job, _token, signal, lock) => {
        expect(signal.aborted).toBe(false);
        locks.push(lock);
      }),
    );
    for (const n of answers.keys()) await add(queue, { key: '', n });
    const last = await add(queue, { key: '', n: 5 });
    await until(async () => (await queue.getFailedCount()) === 5);
    expect(locks).toEqual([undefined]);
    expect(await queue.getCompletedCount()).toBe(1);
    const failed = await queue.getFailed();
    const reasons = failed
      .map((job) => job.failedReason)
      .filter((reason) => reason.startsWith('guard:'));
    expect(reasons).toHaveLength(4);
    expect((await jobNow(queue, last)).failedReason).toBe('no such account');
  });

  test('takes several keys, all or none', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const other = await locker.lock('b');
    site.worker(
      queue,
      guard({ locker, key: async () => ['a', 'b'], delay: 50 }, async (_j, _t, _s, lock) =>
        lock.keys.join(''),
      ),
    );
    const job = await add(queue, { key: '' });
    await until(async () => (await jobNow(queue, job)).attemptsStarted > 1);
    // It may just be trying again.
    await until(async () => (await locker.inspect('a')) === null);
    await other.release();
    await completed(queue, 1);
    expect((await jobNow(queue, job)).returnvalue).toBe('ab');
  });

  test('lets errors pass, and frees its lock', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const processor = async (): Promise<void> => {
      throw new UnrecoverableError('never again');
    };
    site.worker(queue, guard({ locker, key: 'k' }, processor));
    const job = await add(queue, { key: 'k' }, { attempts: 5 });
    await until(async () => (await queue.getFailedCount()) === 1);
    expect(await jobNow(queue, job)).toMatchObject({
      attemptsMade: 1,
      failedReason: 'never again',
    });
    expect(await locker.inspect('k')).toBeNull();
  });

  test.each([
    ['the key function', { key: () => Promise.reject() }, async () => {}],
    ['the processor', { key: 'k' }, () => Promise.reject()],
  ])('fails its job, as an attempt, where %s rejects without a reason', async (_, given, run) => {
    const queue = site.queue();
    const locker = site.locker();
    site.worker(queue, guard<Data>({ locker, ...given }, run));
    const job = await add(queue, { key: 'k' });
    await until(async () => (await queue.getFailedCount()) === 1);
    expect(await jobNow(queue, job)).toMatchObject({
      attemptsMade: 1,
      failedReason: 'The job failed without a reason.',
    });
    expect(await locker.inspect('k')).toBeNull();
  });

  test('may defer its job itself, and give the key to others meanwhile', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const runs: number[] = [];
    site.worker(
      queue,
      guard({ locker, key: 'k' }, async (job, token) => {
        runs.push(job.data.n ?? 0);
        if (job.data.n !== 1 || runs.length > 1) return;
        await job.moveToDelayed(Date.now() + 500, token);
        throw new DelayedError();
      }),
    );
    const job = await add(queue, { key: 'k', n: 1 }, { attempts: 1 });
    await add(queue, { key: 'k', n: 2 });
    await completed(queue, 2);
    expect(runs).toEqual([1, 2, 1]);
    expect((await jobNow(queue, job)).attemptsMade).toBe(1);
  });

  test('may limit the rate of its queue', async () => {
    const queue = site.queue();
    const locker = site.locker();
    let starts = 0;
    const worker = site.worker(
      queue,
      guard({ locker, key: 'k' }, async () => {
        starts += 1;
        if (starts > 1) return;
        await worker.rateLimit(20);
        throw Worker.RateLimitError();
      }),
      { limiter: { max: 1_000, duration: 1_000 } },
    );
    const job = await add(queue, { key: 'k' });
    await completed(queue, 1);
    expect(starts).toBe(2);
    expect((await jobNow(queue, job)).attemptsMade).toBe(1);
  });

  test('may wait for children, which take its key meanwhile', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const steps: string[] = [];
    site.worker(
      queue,
      guard({ locker, key: 'k', delay: 50 }, async (job, token) => {
        steps.push(job.name);
        if (job.name === 'child' || steps.includes('child')) return;
        const parent = { id: job.id as string, queue: job.queueQualifiedName };
        await queue.add('child', { key: 'k' }, { parent });
        if (await job.moveToWaitingChildren(token as string)) throw new WaitingChildrenError();
      }),
    );
    const parent = await queue.add('parent', { key: 'k' });
    await completed(queue, 2);
    expect(steps).toEqual(['parent', 'child', 'parent']);
    expect((await jobNow(queue, parent)).attemptsMade).toBe(1);
  });

  test('rejects what it cannot be, before any job', () => {
    const locker = site.locker();
    const order = { queue: site.queue(), redis: site.client() };
    const bad: object[] = [
      {},
      { key: 'k' },
      { locker, key: '' },
      { locker, key: [] },
      { locker },
      ...['ttl', 'wait', 'delay', 'maxDeferral', 'maxHold', 'owner', 'onLocked', 'order'].map(
        (name) => ({ locker, key: 'k', [name]: null }),
      ),
      { locker, key: 'k', ttl: 0 },
      { locker, key: 'k', wait: -1 },
      { locker, key: 'k', delay: Infinity },
      { locker, key: 'k', onLocked: 'wait' },
      { locker, key: 'k', owner: 'me' },
      { locker, key: 'k', order: {} },
      { locker, key: 'k', tll: 1_000 },
      { locker, key: 'k', order: { ...order, onFailed: 'hold' } },
    ];
    for (const options of bad) {
      expect(() => guard(options as GuardOptions, async () => {})).toThrow(LockArgumentError);
    }
    expect(() => guard({ locker, key: 'k' }, undefined as never)).toThrow(LockArgumentError);
    expect(() => guard(null as never, async () => {})).toThrow(LockArgumentError);
  });
});

describe('the signal', () => {
  test('aborts when the job is cancelled; the lock is held until the work ends, then free', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const started = site.gate();
    const aborted = site.gate();
    const end = site.gate();
    let reason: unknown;
    const worker = site.worker(
      queue,
      guard({ locker, key: 'k', ttl: 1_000 }, async (_job, _token, signal, lock) => {
        signal.addEventListener('abort', () => aborted.open());
        started.open();
        await end.opened;
        reason = signal.reason;
        lock.assertHeld();
        throw reason as Error;
      }),
    );
    const job = await add(queue, { key: 'k' });
    await started.opened;
    worker.cancelJob(job.id as string, 'a change of mind');
    await aborted.opened;
    // Longer than its ttl.
    await sleep(1_300);
    expect(await locker.inspect('k')).not.toBeNull();
    end.open();
    await until(async () => (await queue.getFailedCount()) === 1);
    expect(reason).toBeInstanceOf(LockAbortedError);
    expect((reason as Error).cause).toBe('a change of mind');
    expect((await jobNow(queue, job)).failedReason).toBe('The job was cancelled.');
    expect(await locker.inspect('k')).toBeNull();
  });

  test('aborts the wait for the lock when the job is cancelled', async () => {
    const queue = site.queue();
    const locker = site.locker();
    await locker.lock('k');
    const { locker: other, waiting } = site.waitingLocker();
    let ran = false;
    const worker = site.worker(
      queue,
      guard({ locker: other, key: 'k', wait: 60_000 }, async () => {
        ran = true;
      }),
    );
    const job = await add(queue, { key: 'k' });
    await waiting.opened;
    worker.cancelJob(job.id as string);
    await until(async () => (await queue.getFailedCount()) === 1);
    expect(await jobNow(queue, job)).toMatchObject({ attemptsMade: 1 });
    expect(ran).toBe(false);
  });

  test('aborts when the lock is lost, and the next holder has a larger token', async () => {
    const queue = site.queue();
    const locker = site.locker();
    const lost = site.gate();
    const runs: { token: number; reason?: unknown }[] = [];
    site.worker(
      queue,
      guard({ locker, key: 'k' }, async (_job, _token, signal, lock) => {
        const run: { token: number; reason?: unknown } = { token: lock.fencingToken };
        runs.push(run);
        if (runs.length > 1) return;
        lost.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        run.reason = signal.reason;
      }),
    );
    await add(queue, { key: 'k' });
    await lost.opened;
    await site.locker().forceRelease('k');
    await completed(queue, 1);
    await add(queue, { key: 'k' });
    await completed(queue, 2);
    expect(runs[0]?.reason).toBeInstanceOf(LockLostError);
    expect(runs[0]?.reason).toHaveProperty('reason', 'forced');
    expect(runs[1]?.token).toBeGreaterThan(runs[0]?.token ?? Infinity);
  });
});
