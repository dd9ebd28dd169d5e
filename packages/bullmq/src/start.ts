import {
  LockNotAcquiredError,
  runWithLock,
  withSignal,
  type Key,
  type Lock,
  type LockOptions,
} from '@holdfast/core';
import type { DelayedError, Job } from 'bullmq';
import {
  defer,
  deferralsOf,
  jittered,
  patienceOf,
  SHORTEST,
  type DeferredSince,
} from './deferral.ts';
import { checkKey, checkOutcome, type Settings } from './options.ts';
import type { Line, Place } from './order/line.ts';
import type { JobRun, JobRuns } from './runs.ts';
import type { GuardedProcessor, LockedOutcome } from './types.ts';

/** What the starts of all jobs of a guard have in common. */
export interface Shared {
  readonly settings: Settings;
  readonly processor: GuardedProcessor<any, any, any, any>;
  readonly runs: JobRuns;
  readonly since: DeferredSince;
  /** Present with `order`. */
  readonly line: Line | undefined;
}

/** One start of a job. */
export class Start {
  constructor(
    private readonly shared: Shared,
    private readonly job: Job,
    private readonly token: string | undefined,
    private readonly cancellation: AbortSignal | undefined,
  ) {}

  async run(): Promise<unknown> {
    const { job, shared } = this;
    const { settings, runs, line } = shared;
    const run = runs.begin(job, this.cancellation);
    try {
      const { key: asked } = settings;
      const key = checkKey(typeof asked === 'function' ? await asked(job) : asked);
      const place = line?.place(job, key);
      return key === null
        ? await this.unlocked(run, place)
        : await this.locked(key, { run, place });
    } finally {
      run.end();
    }
  }

  private async unlocked({ signal }: JobRun, place: Place | undefined): Promise<unknown> {
    // Only so that nobody waits to hear what its key is.
    await place?.enter(0, signal);
    try {
      return await this.shared.processor(this.job, this.token, signal, undefined);
    } finally {
      await place?.leave();
    }
  }

  private async locked(key: Key, { run, place }: Going): Promise<unknown> {
    const { job, token, shared } = this;
    let lock: Lock;
    try {
      lock = await this.acquire(key, { run, place });
    } catch (error) {
      if (error instanceof LockNotAcquiredError) return this.refused(error, place);
      await place?.leave();
      throw error;
    }
    const held = withSignal(lock, run.signal);
    place?.took();
    try {
      return await runWithLock(held, () => shared.processor(job, token, held.signal, held));
    } finally {
      shared.since.forget(job);
      await lock.release();
      await place?.leave();
    }
  }

  private async acquire(key: Key, { run, place }: Going): Promise<Lock> {
    const { locker, ttl, maxHold, owner, wait, limit } = this.shared.settings;
    const { queueQualifiedName, id } = this.job;
    // Not the run's own signal, which would end the renewal of a lock whose work goes on.
    const asking = new AbortController();
    const cancel = (): void => asking.abort(run.signal.reason);
    if (run.signal.aborted) cancel();
    else run.signal.addEventListener('abort', cancel, { once: true });
    try {
      const left = (await place?.enter(wait, run.signal)) ?? wait;
      const options: LockOptions = {
        ttl,
        wait: left,
        maxHold,
        limit,
        signal: asking.signal,
        owner: owner === 'job' ? `bullmq:${queueQualifiedName}:${id}` : undefined,
        // A worker that was started under a lock is no part of what runs under it.
        reentry: 'ignore',
      };
      return await locker.lock(key, options);
    } finally {
      run.signal.removeEventListener('abort', cancel);
    }
  }

  /** The key is taken, or others are before this job. */
  private async refused(error: LockNotAcquiredError, place: Place | undefined): Promise<unknown> {
    const { job, token, shared } = this;
    const { onLocked } = shared.settings;
    let outcome: LockedOutcome;
    try {
      outcome = checkOutcome(
        typeof onLocked === 'function' ? await onLocked(job, error) : onLocked,
      );
    } catch (reason) {
      await place?.leave();
      throw reason;
    }
    if (outcome === 'defer' && place !== undefined) throw await this.park(error, place);
    await place?.leave();
    if (outcome === 'fail') throw error;
    if (outcome === 'skip') return undefined;
    if (outcome !== 'defer' && 'value' in outcome) return outcome.value;
    const waited = this.checkWaited(error, () => shared.since.waited(shared.settings, job));
    const deferred = (): number => patienceOf(shared.settings, job, deferralsOf(job));
    const delay = outcome === 'defer' ? jittered(deferred()) : Math.max(outcome.delay, SHORTEST);
    throw await defer(job, token, Math.min(delay, this.leftOf(waited)));
  }

  /** Defers the job, which keeps its place in the line. */
  private async park(error: LockNotAcquiredError, place: Place): Promise<DelayedError> {
    try {
      const waited = this.checkWaited(error, () => place.waited);
      const delay = Math.min(place.delay, this.leftOf(waited));
      const delayed = await defer(this.job, this.token, delay);
      place.parked(delay);
      return delayed;
    } catch (reason) {
      await place.leave();
      throw reason;
    }
  }

  /** @throws LockNotAcquiredError it was deferred for long enough */
  private checkWaited({ key }: LockNotAcquiredError, ask: () => number): number {
    const { settings, since } = this.shared;
    if (settings.maxDeferral === Infinity) return 0;
    const waited = ask();
    if (waited < settings.maxDeferral) return waited;
    since.forget(this.job);
    throw new LockNotAcquiredError({ key, waited });
  }

  private leftOf(waited: number): number {
    return Math.max(this.shared.settings.maxDeferral - waited, 1);
  }
}

interface Going {
  readonly run: JobRun;
  readonly place: Place | undefined;
}
