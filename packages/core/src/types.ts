import type { Clock } from './util/time.ts';
import type { LockLostError } from './errors.ts';
import type { LockEvents } from './events.ts';
import type { LockStore } from './store.ts';

// Public types name these, and a consumer may compile without Node's types and with an older `lib`.
// Where the real declarations are there, these merge with them.
declare global {
  interface AbortSignal {
    readonly aborted: boolean;
  }
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
  interface AsyncDisposable {
    [Symbol.asyncDispose](): PromiseLike<void>;
  }
}

/** The name of a lock; several are taken all or none, and are several locks, not a path. */
export type Key = string | readonly string[];

/** Options of {@link createLocker}. All durations are in ms. An option that does not exist is an error. */
export interface LockerOptions {
  /** Where the locks are kept. @default a `memoryStore()` of its own */
  store?: LockStore | undefined;
  /** The first part of every stored key. @default 'holdfast' */
  namespace?: string | undefined;
  /** Names this locker in events. @default 'default' */
  name?: string | undefined;
  /**
   * Who holds, for people: in `inspect`, `list` and events, never for ownership. Cut at 256 characters.
   *
   * @default 'host:pid'
   */
  label?: string | undefined;
  /** How long a crashed holder keeps others out, in ms; at most 24 h. @default 10_000 */
  ttl?: number | undefined;
  /** How long an acquisition waits, in ms. @default Infinity */
  wait?: number | undefined;
  /**
   * The longest that a lock is held, in ms: then renewal ends, the signal fires with reason `max-hold`,
   * and the lease runs out as grace.
   *
   * @default Infinity
   */
  maxHold?: number | undefined;
  /**
   * How many ms before the end of its lease a lock counts as lost, so that its holder can stop. At most
   * `ttl / 3`.
   *
   * @default min(max(ttl / 10, 50), 2_000, ttl / 4) of each lock's ttl
   */
  safetyMargin?: number | undefined;
  /** How many ms one request to the store may take. @default min(ttl / 2, 2_000) of each lock's ttl */
  storeTimeout?: number | undefined;
  /**
   * Bounds of passing a lock on within the process, see {@link HandoffOptions}; `false` for never.
   *
   * @default { max: 128, tenure: 50 }
   */
  handoff?: HandoffOptions | false | undefined;
  /**
   * Whether `withLock` and `tryWithLock` reject with the `LockLostError` when the lock was lost before
   * their work had ended well. `error.value` has what the work returned. An error of the work stays its
   * own.
   *
   * @default false
   */
  throwIfLost?: boolean | undefined;
  /** How many keys one acquisition may have; more are a `LockArgumentError`. @default 100 */
  maxKeys?: number | undefined;
  /**
   * How many acquisitions of this locker may wait for one key; who would have to wait beyond that is
   * refused at once with a `LockQueueFullError`.
   *
   * @default Infinity
   */
  maxWaiters?: number | undefined;
  /** As {@link LockerOptions.maxWaiters}, for all keys together. @default Infinity */
  maxWaiting?: number | undefined;
  /** The clock and timers. @default Node's, looked up at call time */
  clock?: Clock | undefined;
}

/**
 * A lock that is released while others of the same process wait goes to the next of them without a
 * request, until one of these bounds; then the store is asked, which serves other processes first.
 */
export interface HandoffOptions {
  /** Times in a row, at most 1 023. @default 128 */
  max?: number | undefined;
  /** ms since the store's last grant. @default 50 */
  tenure?: number | undefined;
}

/**
 * Options of one acquisition; what is absent comes from {@link LockerOptions}. All durations are in ms.
 * An option that does not exist is an error.
 */
export interface LockOptions {
  /** The lease, in ms: how long a crashed holder keeps others out. @default the locker's `ttl` */
  ttl?: number | undefined;
  /**
   * The longest to wait, in ms: 0 for a single attempt, `Infinity` for as long as it takes.
   *
   * @default the locker's `wait`; 0 for `tryLock` and `tryWithLock`
   */
  wait?: number | undefined;
  /**
   * The longest that the lock is held, in ms: then renewal ends, the signal fires with reason `max-hold`,
   * and the lease runs out as grace.
   *
   * @default the locker's `maxHold`
   */
  maxHold?: number | undefined;
  /** Cancels the wait. While held, its abort fires {@link Lock.signal} and ends renewal. @default none */
  signal?: AbortSignal | undefined;
  /** Whether the lease is renewed until release. @default true */
  renew?: boolean | undefined;
  /**
   * An identity to resume: an acquisition by the same owner takes its own lock over at once, with a
   * larger fencing token, and the older handle is lost (`superseded`). One owner per logical task;
   * not a label, and no secret. At most 1 kB.
   *
   * @default unique to the acquisition; no explicit owner is ever the same
   */
  owner?: string | undefined;
  /**
   * ms from the grant: a release before that returns at once, and the store frees the lock then, even
   * if this process dies meanwhile.
   *
   * @default 0
   */
  holdAtLeast?: number | undefined;
  /** Called when the lock is lost, never when it is released. @default none */
  onLost?: ((error: LockLostError) => void) | undefined;
  /**
   * What happens when the lock, or one of several, is already held by an enclosing `withLock` of the
   * same async context: `reject` with `LockReentryError` rather than wait for itself, `join` the lock
   * that is held, or `ignore` it and wait like anyone else.
   *
   * @default 'reject'
   */
  reentry?: 'reject' | 'join' | 'ignore' | undefined;
  /** Who holds, for people; see {@link LockerOptions.label}. @default the locker's `label` */
  label?: string | undefined;
  /** See {@link LockerOptions.throwIfLost}. @default the locker's `throwIfLost` */
  throwIfLost?: boolean | undefined;
  /**
   * A reader: holds the lock together with other readers, and never beside one who takes it without
   * `shared`. Where the store allows it: memory, Redis without a quorum.
   *
   * @default false
   */
  shared?: boolean | undefined;
  /**
   * How many may hold the lock at once; all who ask for it must say the same. For a list of keys, one
   * limit for all or a list with the limit of each key, in the same order. Above 1 where the store allows
   * it: memory, Redis without a quorum.
   *
   * @default 1
   */
  limit?: number | readonly number[] | undefined;
  /** How many of the `limit` this one counts for. @default 1 */
  weight?: number | undefined;
}

/** Options of `tryLock` and `tryWithLock`: as {@link LockOptions}, but `wait` is 0 unless it is given. */
export type TryLockOptions = LockOptions;

/** What {@link Locker.tryWithLock} answers. */
export type Outcome<T> = { acquired: true; value: T } | { acquired: false; value?: undefined };

/** The work that runs under a lock. */
export type LockCallback<T> = (lock: Lock) => T | PromiseLike<T>;

/** Who holds a lock, as the store knows it. While it is handed over locally, the token is a lower bound. */
export interface LockInfo {
  /**
   * As its holder gave it. In {@link Locker.list}, a key so long that the store knows it by its hash
   * is shown as its first characters, `~` and the hash (64 hexadecimal digits).
   */
  readonly key: string;
  /** As its holder gave it, or as it was generated. */
  readonly owner: string;
  /** Who holds it, for people. */
  readonly label: string;
  /** 0 where the store gives none. */
  readonly fencingToken: number;
  /** When the store granted it, in ms since 1970 by the store's clock, where the store can tell. */
  readonly since?: number | undefined;
  /** ms until the lease ends unless it is renewed, where the store can tell. */
  readonly remaining?: number | undefined;
  /** Acquisitions waiting in this locker, plus other processes waiting, where the store can tell. */
  readonly waiters?: number | undefined;
  /**
   * Only in the answer to {@link Locker.inspect}, where the store can tell: who waits, the longest
   * first, at most 100 of them. Every acquisition that waits in this locker, and one entry per other
   * locker.
   */
  readonly queue?: readonly LockWaiter[] | undefined;
  /** All who hold it, where there may be several. */
  readonly holders?: readonly LockHolder[] | undefined;
}

/** Who waits for a lock. */
export interface LockWaiter {
  readonly label: string;
  /** In ms since 1970: by this process's clock for its own, by the store's clock for others. */
  readonly since: number;
}

/** One of several holders of a lock. */
export interface LockHolder {
  readonly owner: string;
  readonly label: string;
  readonly fencingToken: number;
  /** In ms since 1970 by the store's clock. */
  readonly since?: number | undefined;
  /** ms until its lease ends unless it is renewed. */
  readonly remaining?: number | undefined;
}

/** Options of {@link Locker.list}. */
export interface ListOptions {
  /** Only keys that begin so. @default '' */
  prefix?: string | undefined;
  /** How many locks a page has at most, 1 to 10 000. @default 100 */
  limit?: number | undefined;
  /** Of the page before. @default undefined, for the first page */
  cursor?: string | undefined;
}

/** A page of locks. */
export interface LockPage {
  /** In no particular order. */
  locks: LockInfo[];
  /** For the next page; absent when there is none. */
  cursor?: string | undefined;
}

/**
 * Takes locks on a store.
 *
 * @example
 * ```ts
 * const locker = createLocker({ store: redisStore(redis) });
 * await locker.withLock('invoice:42', async (lock) => {
 *   await charge({ signal: lock.signal, fence: lock.fencingToken });
 * });
 * ```
 */
export interface Locker extends AsyncDisposable {
  /**
   * Waits for a lock, in the order of asking, up to `wait` ms.
   *
   * @throws LockNotAcquiredError busy for longer than `wait`
   * @throws LockQueueFullError too many wait already
   * @throws LockConflictError it is held or waited for with another `limit`
   * @throws LockStoreError the store failed throughout, or cannot heal
   * @throws LockReentryError it would wait for itself
   * @throws LockArgumentError before any I/O
   * @throws LockerClosedError
   * @throws the reason of `signal` once it is aborted
   */
  lock(key: Key, options?: LockOptions): Promise<Lock>;
  /**
   * One attempt: `null` if the lock is busy or others wait for it. Bounded by `storeTimeout`. With
   * `wait` it waits, and answers `null` only after so many ms.
   *
   * @throws as {@link Locker.lock}, but for `LockNotAcquiredError`
   */
  tryLock(key: Key, options?: TryLockOptions): Promise<Lock | null>;
  /**
   * Runs `fn` under a lock and releases it, whatever happens. Settles with what `fn` did, also when
   * the lock was lost meanwhile: `lock.signal` and `lock.assertHeld()` tell of that, and with
   * `throwIfLost` it rejects.
   *
   * @throws as {@link Locker.lock}, and whatever `fn` throws
   * @throws LockLostError only with `throwIfLost`
   */
  withLock<T>(key: Key, fn: LockCallback<T>): Promise<T>;
  /**
   * Runs `fn` under a lock that is taken with `options`, and releases it, whatever happens. Settles with
   * what `fn` did, also when the lock was lost meanwhile, unless `throwIfLost` is set.
   *
   * @throws as {@link Locker.lock}, and whatever `fn` throws
   * @throws LockLostError only with `throwIfLost`
   */
  withLock<T>(key: Key, options: LockOptions | undefined, fn: LockCallback<T>): Promise<T>;
  /** As {@link Locker.withLock} with one attempt; `{ acquired: false }` if the lock is busy. */
  tryWithLock<T>(key: Key, fn: LockCallback<T>): Promise<Outcome<T>>;
  /**
   * As {@link Locker.withLock}, with one attempt unless `options` have a `wait`; `{ acquired: false }` if
   * the lock stays busy.
   */
  tryWithLock<T>(
    key: Key,
    options: TryLockOptions | undefined,
    fn: LockCallback<T>,
  ): Promise<Outcome<T>>;
  /**
   * Who holds a lock, and who waits for it; `null` if it is free.
   *
   * @throws LockStoreError
   * @throws LockArgumentError
   * @throws LockerClosedError
   */
  inspect(key: string): Promise<LockInfo | null>;
  /**
   * What is held in the locker's namespace, by whatever process, a page at a time. A page may be short,
   * even empty, while it has a `cursor`: a call does a bounded amount of work. What is held all the
   * while is in one of the pages, seldom in two.
   *
   * @throws LockArgumentError also where the store cannot enumerate (memcached)
   * @throws LockStoreError
   * @throws LockerClosedError
   * @example
   * ```ts
   * let cursor: string | undefined;
   * do {
   *   const page = await locker.list({ prefix: 'invoice:', cursor });
   *   for (const { key, label, since } of page.locks) console.log(key, label, since);
   *   cursor = page.cursor;
   * } while (cursor !== undefined);
   * ```
   */
  list(options?: ListOptions): Promise<LockPage>;
  /**
   * For operators: frees a lock, whoever holds it, and however many. The holders learn of it (reason
   * `forced`).
   *
   * @param options with `owner`, ends what that one holds, and nothing else
   * @returns whether it was held
   * @throws LockStoreError
   * @throws LockArgumentError
   * @throws LockerClosedError
   */
  forceRelease(key: string, options?: ForceReleaseOptions): Promise<boolean>;
  /**
   * Listens to an event; see {@link LockEvents}. What a listener throws becomes a warning.
   *
   * @returns ends the listening
   * @throws LockArgumentError for an event that does not exist
   */
  on<E extends keyof LockEvents>(event: E, listener: (payload: LockEvents[E]) => void): () => void;
  /**
   * Refuses new acquisitions and rejects those that wait; for `drain` ms (default 0) locks may be
   * released by their holders; then their signals fire (reason `closed`) and those taken by hand are
   * released, while a callback that still runs keeps its lock, unrenewed, until it has settled.
   * Idempotent, never rejects.
   */
  close(options?: CloseOptions): Promise<void>;
}

/** Options of {@link Locker.forceRelease}. */
export interface ForceReleaseOptions {
  /** Whose hold on the lock is ended, as {@link LockInfo.owner} shows it. @default everybody's */
  owner?: string | undefined;
}

/** Options of {@link Locker.close}. */
export interface CloseOptions {
  /** ms for holders to finish. @default 0 */
  drain?: number | undefined;
}

/**
 * A lock that was acquired.
 *
 * @example
 * ```ts
 * await using lock = await locker.lock('invoice:42', { wait: 5_000 });
 * await upload(part, { signal: lock.signal });
 * lock.assertHeld();
 * ```
 */
export interface Lock extends AsyncDisposable {
  /** As the caller gave them, without duplicates. */
  readonly keys: readonly string[];
  /** The first of {@link Lock.keys}. */
  readonly key: string;
  /** Who holds it, for people, as `options.label` or its locker's `label` has it. */
  readonly label: string;
  /** As `options.owner` has it, else unique to the acquisition. Not a secret. */
  readonly owner: string;
  /**
   * Grows with every grant of the key, so that a resource can refuse a holder that is late.
   * 0 where the store gives none, and for several keys: see {@link Lock.tokenFor}.
   */
  readonly fencingToken: number;
  /**
   * The fencing token of one of several keys.
   *
   * @throws LockArgumentError for a key that this lock does not cover
   */
  tokenFor(key: string): number;
  /**
   * Aborts when the lock is lost (`LockLostError`) or released (`LockReleasedError`), and with the
   * caller's own reason when the signal it passed is aborted.
   */
  readonly signal: AbortSignal;
  /**
   * `held`; `lost`: it ended without its holder's doing, at the latest at its signal point, by this
   * process's clocks; `released` by its holder. Right also after the event loop was blocked.
   */
  readonly state: 'held' | 'lost' | 'released';
  /** ms until the lock counts as lost unless it is renewed, by this process's clocks; 0 when not held. */
  readonly remaining: number;
  /**
   * Call it right before a side effect: it asks the clock, not the network, and is right also after
   * the event loop was blocked, when no signal could fire.
   *
   * @throws LockLostError
   * @throws LockReleasedError
   */
  assertHeld(): void;
  /**
   * Renews now, with `ttl` ms if given, for this and later renewals. Never shortens the lease.
   *
   * @throws LockLostError or LockReleasedError when it is not held (any more)
   * @throws LockStoreError the store did not confirm; the lock is held until its signal point
   * @throws LockArgumentError
   */
  extend(ttl?: number): Promise<void>;
  /**
   * Releases the lock; safe any number of times. Never rejects and never touches another holder's
   * lock. Settles within a second, and goes on in the background if the store has not confirmed.
   *
   * @returns true: confirmed that this call freed a lock that was ours
   */
  release(): Promise<boolean>;
}
