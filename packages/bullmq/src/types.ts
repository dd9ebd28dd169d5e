import type { Key, Lock, Locker, LockNotAcquiredError } from '@holdfast/core';
import type { Job, Worker } from 'bullmq';

/**
 * What becomes of a job that finds its key taken:
 *
 * - `'defer'`: it gives its slot back and is started again later. No attempt is burnt.
 * - `'skip'`: it completes, with `undefined`.
 * - `'fail'`: it fails with `LockNotAcquiredError`, as an attempt, with the backoff of its options.
 * - `'latest'`: it is deferred, and of the jobs that wait for the same keys only the one that was added last
 *   runs; the others complete, with `undefined`. Needs `order`.
 * - `{ delay }`: deferred for so many ms; with `order` it gives up its place until then.
 * - `{ value }`: it completes with this value.
 */
export type LockedOutcome<R = any> =
  | 'defer'
  | 'skip'
  | 'fail'
  | 'latest'
  | { readonly delay: number }
  | { readonly value: R };

/** What the guard needs of a `Queue`, for {@link OrderOptions}. */
export interface OrderQueue {
  readonly toKey: (type: string) => string;
  getJob(id: string): Promise<object | undefined>;
  getJobState(id: string): Promise<string>;
}

/**
 * What the guard needs of a Redis client. `Redis` and `Cluster` of ioredis and iovalkey have it; for
 * node-redis and GLIDE, `redisScripts(client)` of `@holdfast/redis` makes it.
 */
export interface OrderRedis {
  evalsha(sha: string, keys: number, words: string[]): Promise<unknown>;
  eval(script: string, keys: number, words: string[]): Promise<unknown>;
}

/** Where the order of waiting jobs is kept. Both stay yours: neither is ever closed here. */
export interface OrderOptions {
  /** The queue that the worker works on. */
  queue: OrderQueue;
  /**
   * A client of the Redis, and the database, that the queue is in: of ioredis or iovalkey, or
   * `redisScripts(client)` of `@holdfast/redis` for any other.
   */
  redis: OrderRedis;
  /**
   * What the jobs behind a job that fails do. `'continue'`: they run while it waits for its next attempt,
   * and it comes back to its place. `'hold'`: they wait until it has succeeded or given up.
   *
   * @default 'continue'
   */
  onFailure?: 'continue' | 'hold' | undefined;
}

/** A job in a line: see {@link LineInfo}. */
export interface LineJob {
  readonly id: string;
  readonly name: string;
  /** Since when it runs or waits, in ms since 1970 by the clock of Redis. */
  readonly since: number;
}

/** Who runs and who waits for a key, of the jobs of a queue: see {@link Guard.line}. */
export interface LineInfo {
  readonly key: string;
  /** The job that has the key. */
  readonly running: readonly LineJob[];
  /** Those that wait for it, the next one first; 1 000 of them at most. */
  readonly waiting: readonly LineJob[];
  /** How many wait in all. */
  readonly total: number;
}

/**
 * Options of {@link guard}. All durations are in ms.
 *
 * @typeParam K what the key function answers
 */
export interface GuardOptions<
  T = any,
  R = any,
  N extends string = string,
  K extends Key | null = Key | null,
> {
  /** Takes the locks. It is never closed here. */
  locker: Locker;
  /**
   * What to lock: one key, or several all or none. A function may answer `null` for a job that needs no
   * lock. If it throws, or answers nothing or an empty string, the job fails as an attempt.
   */
  key: Key | ((job: Job<T, R, N>) => K | PromiseLike<K>);
  /**
   * The most keys that a job may have. One that has more fails, before anything is locked.
   *
   * @default 100
   */
  maxKeys?: number | undefined;
  /**
   * The lease: how long a crashed worker keeps the key.
   *
   * @default 30_000
   */
  ttl?: number | undefined;
  /**
   * How long a job waits for its key in its slot before {@link GuardOptions.onLocked} decides. Meanwhile
   * it keeps the slot from other jobs.
   *
   * @default 0
   */
  wait?: number | undefined;
  /**
   * The longest that the lock is held and renewed.
   *
   * @default that of the locker
   */
  maxHold?: number | undefined;
  /**
   * How many jobs may hold a key at once, over all workers; for a list of keys, one limit for all or one
   * for each, in the same order. Above 1 it cannot be combined with {@link GuardOptions.order}.
   *
   * @default 1
   */
  limit?: number | readonly number[] | undefined;
  /**
   * What becomes of a job that finds its key taken: see {@link LockedOutcome}.
   *
   * @default 'defer'
   */
  onLocked?:
    | 'defer'
    | 'skip'
    | 'fail'
    | 'latest'
    | ((
        job: Job<T, R, N>,
        error: LockNotAcquiredError,
      ) => LockedOutcome<R> | PromiseLike<LockedOutcome<R>>)
    | undefined;
  /**
   * What becomes of a job when the store of the locks fails, or the locker was closed before the worker.
   * `'defer'`: it is deferred, without an attempt burnt, until the store is back or
   * {@link GuardOptions.maxDeferral} is over. `'fail'`: it fails with `LockStoreError` or
   * `LockerClosedError`, as an attempt. What trying again cannot heal (a closed client, bad credentials)
   * fails it in any case. `failedReason` says what the store said.
   *
   * @default 'defer'
   */
  onStoreError?: 'defer' | 'fail' | undefined;
  /**
   * How long a deferred job stays away, at most. Without `order` it comes back after half of it to all of
   * it, sooner the more often it was deferred. With `order` it is the safety delay: how long the first of a
   * line waits when nobody wakes it, because other code released the key or a worker died.
   *
   * @default 1_000
   */
  delay?: number | ((job: Job<T, R, N>, deferrals: number) => number | undefined) | undefined;
  /**
   * Wakes deferred jobs when their key is released, by priority and then first added first run, per key
   * and queue.
   *
   * @default none: deferred jobs come back when their delay is over
   */
  order?: OrderOptions | undefined;
  /**
   * How long a job is deferred before it fails with `LockNotAcquiredError`, or with `LockStoreError` if the
   * store of the locks is away then.
   *
   * @default Infinity
   */
  maxDeferral?: number | undefined;
  /**
   * `'job'`: a job is the owner of its lock over all its runs, so that one that stalled and is started
   * again takes its own lock over at once, with a larger fencing token. Its old run may still be running
   * until its signal fires.
   *
   * @default each run is an owner of its own, and waits for the lock of a run before it
   */
  owner?: 'job' | undefined;
}

/** {@link GuardOptions} with which a job never runs without its lock. */
export type StrictGuardOptions<T = any, R = any, N extends string = string> = GuardOptions<
  T,
  R,
  N,
  Key
>;

/**
 * A processor under a lock.
 *
 * @param signal aborts when the job is cancelled, when the lock is lost, and when BullMQ's own lock of
 *   the job is lost, if the worker is attached: see {@link Guard.attach}
 * @param lock its signal is the same one
 */
export type GuardedProcessor<
  T = any,
  R = any,
  N extends string = string,
  L extends Lock | undefined = Lock,
> = (
  job: Job<T, R, N>,
  token: string | undefined,
  signal: AbortSignal,
  lock: L,
) => R | PromiseLike<R>;

/** A processor for `new Worker(name, processor)`; see {@link guard}. */
export interface Guard<T = any, R = any, N extends string = string> {
  (job: Job<T, R, N>, token?: string, signal?: AbortSignal): Promise<R>;
  /**
   * Tells running jobs, by their signal, when the worker has lost BullMQ's own lock of them: then
   * another worker may have started them again. Warns if the worker has `maxStartedAttempts`, which
   * counts every deferral.
   *
   * @returns ends it
   * @example
   * ```ts
   * const worker = new Worker('payments', guarded, { connection });
   * guarded.attach(worker);
   * ```
   */
  attach(worker: Worker<any, any, any>): () => void;
  /**
   * Who runs and who waits for a key, of the jobs of the queue of `order`, over all workers.
   *
   * @param key as the key function answers it
   * @throws LockArgumentError without `order`, or for what is no key
   * @throws LockStoreError
   * @example
   * ```ts
   * const { running, waiting } = await guarded.line('account:42');
   * ```
   */
  line(key: string): Promise<LineInfo>;
}
