import {
  LockerClosedError,
  LockNotAcquiredError,
  LockQueueFullError,
  LockStoreError,
  runWithLock,
  withSignal,
  type Key,
  type Lock,
  type LockOptions,
} from '@holdfast/core';
import type { Job } from 'bullmq';
import {
  defer,
  deferralsOf,
  delayOf,
  isDeferred,
  isEnding,
  isTriedAgain,
  jittered,
  patienceOf,
  SHORTEST,
  type DeferredSince,
} from './deferral.ts';
import { checkKey, checkOutcome, type Settings } from './options.ts';
import type { Line } from './order/line.ts';
import { Place } from './order/place.ts';
import { namesOf } from './order/registration.ts';
import type { JobRun, JobRuns } from './runs.ts';
import type { GuardedProcessor, LockedOutcome } from './types.ts';

/** How often a job that waits in its slot looks whether its worker closes, in ms. */
const LOOK_EVERY = 100;

/** What the runs of all jobs of a guard have in common. */
export interface Shared {
  readonly settings: Settings;
  readonly processor: GuardedProcessor<any, any, any, any>;
  readonly runs: JobRuns;
  readonly since: DeferredSince;
  /** Present with `order`. */
  readonly line: Line | undefined;
}

/** One run of a job under the guard, from its start to its end or deferral. */
export class GuardedRun {
  private readonly run: JobRun;
  private readonly place: Place | undefined;

  constructor(
    private readonly shared: Shared,
    private readonly job: Job,
    private readonly token: string | undefined,
    cancellation: AbortSignal | undefined,
  ) {
    this.run = shared.runs.begin(job, cancellation);
    this.place = shared.line && new Place(shared.line, job);
  }

  async start(): Promise<unknown> {
    const { key: asked, maxKeys } = this.shared.settings;
    try {
      const answer = typeof asked === 'function' ? await asked(this.job) : asked;
      const key = checkKey(answer, maxKeys);
      return key === null ? await this.unlocked() : await this.locked(key);
    } catch (error) {
      // BullMQ reads the message of what it gets: without one it leaves the job active until it stalls.
      throw error ?? new Error('The job failed without a reason.');
    } finally {
      this.place?.end();
      this.run.end();
    }
  }

  private async unlocked(): Promise<unknown> {
    await this.place?.skip();
    return this.shared.processor(this.job, this.token, this.run.signal, undefined);
  }

  private async locked(key: Key): Promise<unknown> {
    const { job, token, shared, place } = this;
    let lock: Lock;
    try {
      lock = await this.acquire(key);
    } catch (error) {
      if (error instanceof LockNotAcquiredError) return this.refused(error);
      if (error instanceof LockQueueFullError) return this.refused(busyWith(error));
      if (isOutage(error)) throw await this.withoutStore(error);
      await place?.leave();
      throw error;
    }
    const held = withSignal(lock, this.run.signal);
    place?.took();
    let failure: { readonly error: unknown } | undefined;
    try {
      return await runWithLock(held, () => shared.processor(job, token, held.signal, held));
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      shared.since.forget(job);
      const hold = failure !== undefined && this.holds(failure.error);
      if (hold) await place?.hold();
      await lock.release();
      await (failure === undefined ? place?.succeeded() : place?.leave(hold));
    }
  }

  private async acquire(key: Key): Promise<Lock> {
    const { locker, ttl, maxHold, owner, wait, limit } = this.shared.settings;
    const { place } = this;
    const { queueQualifiedName, id } = this.job;
    const { signal } = this.run;
    // Not the run's own signal, which would end the renewal of a lock whose work goes on.
    const asking = new AbortController();
    const cancel = (): void => asking.abort(signal.reason);
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    const looking = wait > 0 ? this.leaveWithWorker(key, asking) : undefined;
    const options: LockOptions = {
      ttl,
      maxHold,
      limit,
      signal: asking.signal,
      owner: owner === 'job' ? `bullmq:${queueQualifiedName}:${id}` : undefined,
      // A worker that was started under a lock is no part of what runs under it.
      reentry: 'ignore',
    };
    try {
      if (place === undefined) return await locker.lock(key, { ...options, wait });
      for (let left = wait; ;) {
        left = await place.enter(key, left, asking.signal);
        // A job that may wait for its locks would not give them back at once.
        const early = left > 0 ? undefined : locker.lock(key, { ...options, wait: 0 });
        early?.catch(() => {});
        if (await place.isNext())
          return await (early ?? locker.lock(key, { ...options, wait: left }));
        await early?.then(
          (lock) => lock.release(),
          () => {},
        );
        place.yielded();
      }
    } finally {
      clearInterval(looking);
      signal.removeEventListener('abort', cancel);
    }
  }

  /** A worker that closes, or is paused, waits for its jobs: one that would be deferred waits no longer. */
  private leaveWithWorker(key: Key, asking: AbortController): NodeJS.Timeout | undefined {
    if (!isDeferred(this.shared.settings.onLocked)) return undefined;
    const begun = performance.now();
    const look = (): void => {
      if (!isEnding(this.job)) return;
      const waited = performance.now() - begun;
      asking.abort(new LockNotAcquiredError({ key: namesOf(key)[0], waited }));
    };
    return setInterval(look, LOOK_EVERY).unref();
  }

  /** The key is taken, or others are before this job. */
  private async refused(error: LockNotAcquiredError): Promise<unknown> {
    const { place } = this;
    const outcome: LockedOutcome = place?.superseded === true ? 'skip' : await this.outcome(error);
    if (place !== undefined && isDeferred(outcome)) {
      throw await this.park(place, error, outcome === 'latest');
    }
    await place?.leave(outcome === 'fail' && this.holds(error));
    // A queue that was full is told as what it is.
    if (outcome === 'fail') throw error.cause instanceof LockQueueFullError ? error.cause : error;
    if (outcome === 'skip') return undefined;
    if (typeof outcome === 'object' && 'value' in outcome) return outcome.value;
    const { settings, since } = this.shared;
    const left = this.leftToDefer(error, () => since.waited(settings, this.job));
    const delay =
      typeof outcome === 'object'
        ? Math.max(outcome.delay, SHORTEST)
        : jittered(patienceOf(settings, this.job, deferralsOf(this.job)));
    throw await defer(this.job, this.token, Math.min(delay, left));
  }

  private async outcome(error: LockNotAcquiredError): Promise<LockedOutcome> {
    const { onLocked } = this.shared.settings;
    try {
      const outcome = typeof onLocked === 'function' ? await onLocked(this.job, error) : onLocked;
      return checkOutcome(outcome, this.place !== undefined);
    } catch (reason) {
      await this.place?.leave();
      throw reason;
    }
  }

  /** The store of the locks is away, or the Redis of the order, or the locker of this process. */
  private async withoutStore(failure: Outage): Promise<Error> {
    const { job, token, place, shared } = this;
    const { settings, since } = shared;
    const error = failure instanceof LockStoreError ? withReason(failure) : failure;
    const isPermanent = error instanceof LockStoreError && error.permanent;
    if (settings.onStoreError === 'fail' || isPermanent) {
      await place?.leave(this.holds(error));
      return error;
    }
    if (place?.taken === true) return this.park(place, error, false);
    const left = this.leftToDefer(error, () => since.waited(settings, job));
    const delay = Math.max(delayOf(settings, job, deferralsOf(job)), SHORTEST);
    return defer(job, token, Math.min(jittered(delay), left));
  }

  /**
   * Defers the job, which keeps its place in the line.
   *
   * @returns what the processor must throw then
   */
  private async park(
    place: Place,
    error: LockNotAcquiredError | Outage,
    latest: boolean,
  ): Promise<Error> {
    const { job, token, shared } = this;
    try {
      const left = this.leftToDefer(error, () => place.waited);
      const deferred = await defer(job, token, Math.min(place.safety, left));
      place.parked(shared.settings.maxDeferral === Infinity ? undefined : left, latest);
      return deferred;
    } catch (reason) {
      await place.leave();
      throw reason;
    }
  }

  /**
   * For how long the job may be deferred still, in ms.
   *
   * @throws LockNotAcquiredError, LockStoreError, LockerClosedError it was deferred for long enough
   */
  private leftToDefer(error: LockNotAcquiredError | Outage, ask: () => number): number {
    const { settings, since } = this.shared;
    if (settings.maxDeferral === Infinity) return Infinity;
    const waited = ask();
    if (waited < settings.maxDeferral) return Math.max(settings.maxDeferral - waited, 1);
    since.forget(this.job);
    if (isOutage(error)) throw error;
    throw new LockNotAcquiredError({ key: error.key, waited });
  }

  /** Whether the lines of the job wait until it is tried again. */
  private holds(error: unknown): boolean {
    const { order } = this.shared.settings;
    return order?.onFailure === 'hold' && isTriedAgain(this.job, error);
  }
}

/**
 * What is no fault of a job, and will be over. To a job a locker that was closed before its worker is that,
 * too: other workers have theirs, and so has this one when it is started again.
 */
type Outage = LockStoreError | LockerClosedError;

function isOutage(error: unknown): error is Outage {
  return error instanceof LockStoreError || error instanceof LockerClosedError;
}

/** To a job a key for which too many wait in their slots is a key that is taken. */
function busyWith(error: LockQueueFullError): LockNotAcquiredError {
  return new LockNotAcquiredError({ key: error.key, waited: 0, cause: error });
}

/** With what the store said in the message, which is all that BullMQ keeps of an error. */
function withReason(error: LockStoreError): LockStoreError {
  const { message, cause, phase, key, permanent } = error;
  const reason = cause instanceof Error ? cause.message : '';
  if (reason === '' || message.includes(reason)) return error;
  return new LockStoreError(`${message} ${reason}`, { phase, key, permanent, cause });
}
