import { LockArgumentError, reportWarning, type Lock } from '@holdfast/core';
import type { Job, Worker } from 'bullmq';
import { DeferredSince } from './deferral.ts';
import { resolveOptions } from './options.ts';
import { Line } from './order/line.ts';
import { JobRuns } from './runs.ts';
import { GuardedRun, type Shared } from './guarded-run.ts';
import type {
  Guard,
  GuardedProcessor,
  GuardOptions,
  LineInfo,
  StrictGuardOptions,
} from './types.ts';

const WITHOUT_ORDER =
  'guard: `line` tells who waits only with `order`. Pass `order: { queue, redis }` to the guard.';

const STARTED_ATTEMPTS =
  'A worker has `maxStartedAttempts`, and its processor is guarded: every deferral of a job counts as a ' +
  'start, so a job whose key is taken for long fails. Leave the option out, or make it large.';

/**
 * Wraps a processor, so that one job per key runs at a time, over all workers, queues, and any other code
 * that takes the same key. A job that finds its key taken gives its slot back and is started again later,
 * without an attempt burnt; with `order`, as soon as it is its turn.
 *
 * @throws LockArgumentError
 * @example
 * ```ts
 * const worker = new Worker<Payment>('payments', guard(
 *   { locker, key: (job) => `account:${job.data.accountId}`, order: { queue, redis } },
 *   async (job, token, signal, lock) => {
 *     await charge(job.data, { signal, fence: lock.fencingToken });
 *   },
 * ), { connection, concurrency: 20 });
 * ```
 */
export function guard<T = any, R = any, N extends string = string>(
  options: StrictGuardOptions<T, R, N>,
  processor: GuardedProcessor<T, R, N>,
): Guard<T, R, N>;
/** With a key function that may answer `null`, the processor's `lock` is `Lock | undefined`. */
export function guard<T = any, R = any, N extends string = string>(
  options: GuardOptions<T, R, N>,
  processor: GuardedProcessor<T, R, N, Lock | undefined>,
): Guard<T, R, N>;
export function guard(
  options: GuardOptions,
  processor: GuardedProcessor<any, any, any, any>,
): Guard {
  const settings = resolveOptions(options);
  if (typeof processor !== 'function') {
    throw new LockArgumentError('guard: takes the processor to guard, after its options.');
  }
  const line = settings.order && new Line(settings, settings.order);
  const runs = new JobRuns();
  const shared: Shared = { settings, processor, runs, since: new DeferredSince(), line };
  const attach = (worker: Worker): (() => void) => {
    if (worker.opts.maxStartedAttempts !== undefined) {
      reportWarning(settings.locker, 'HOLDFAST_MAX_STARTED_ATTEMPTS', STARTED_ATTEMPTS);
    }
    const taken = (id: string): void => runs.taken(`${worker.qualifiedName}:${id}`);
    const allTaken = (ids: readonly string[]): void => ids.forEach(taken);
    worker.on('lockRenewalFailed', allTaken);
    worker.on('stalled', taken);
    return () => {
      worker.off('lockRenewalFailed', allTaken);
      worker.off('stalled', taken);
    };
  };
  // BullMQ hands the signal out to processors that name three parameters.
  const guarded = (job: Job, token?: string, signal?: AbortSignal): Promise<unknown> =>
    new GuardedRun(shared, job, token, signal).start();
  const lineOf = async (key: string): Promise<LineInfo> => {
    if (line === undefined) throw new LockArgumentError(WITHOUT_ORDER);
    if (typeof key !== 'string' || key === '') {
      throw new LockArgumentError('guard: `line` takes a key, a non-empty string.');
    }
    return line.info(key);
  };
  return Object.assign(guarded, { attach, line: lineOf }) as Guard;
}
