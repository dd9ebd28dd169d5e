import type { Clock } from './clock.ts';
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

/** Options of {@link createLocker}. All durations are in ms. */
export interface LockerOptions {
  /** Default: a `memoryStore()` of its own. */
  store?: LockStore | undefined;
  /** The first part of every stored key. Default `'holdfast'`. */
  namespace?: string | undefined;
  /** Names this locker in events. Default `'default'`. */
  name?: string | undefined;
  /** Who holds, for people: in `inspect` and events, never for ownership. Default `'host:pid'`. */
  label?: string | undefined;
  /** How long a crashed holder keeps others out. Default 10 000, at most 24 h. */
  ttl?: number | undefined;
  /** How long an acquisition waits. Default `Infinity`. */
  wait?: number | undefined;
  /**
   * The longest a lock is held: then renewal ends, the signal fires with reason `max-hold`, and the
   * lease runs out as grace. Default `Infinity`.
   */
  maxHold?: number | undefined;
  /**
   * How long before the end of its lease a lock counts as lost, so that its holder can stop.
   * Default `min(max(ttl / 10, 50), 2 000, ttl / 4)` of each lock's ttl; at most `ttl / 3`.
   */
  safetyMargin?: number | undefined;
  /** How long one request to the store may take. Default `min(ttl / 2, 2 000)` of each lock's ttl. */
  storeTimeout?: number | undefined;
  /** Bounds of passing a lock on within the process, see {@link HandoffOptions}; `false` for never. */
  handoff?: HandoffOptions | false | undefined;
  /** Default: Node's clocks and timers, looked up at call time. */
  clock?: Clock | undefined;
}

/**
 * A lock that is released while others of the same process wait goes to the next of them without a
 * request, until one of these bounds; then the store is asked, which serves other processes first.
 */
export interface HandoffOptions {
  /** Times in a row, at most 1 023. Default 128. */
  max?: number | undefined;
  /** ms since the store's last grant. Default 50. */
  tenure?: number | undefined;
}

/** Options of one acquisition; what is absent comes from {@link LockerOptions}. Durations are in ms. */
export interface LockOptions {
  /** The lease. */
  ttl?: number | undefined;
  /** The longest to wait: 0 for a single attempt, `Infinity` for as long as it takes. */
  wait?: number | undefined;
  maxHold?: number | undefined;
  /** Cancels the wait. While held, its abort fires {@link Lock.signal} and ends renewal. */
  signal?: AbortSignal | undefined;
  /** Whether the lease is renewed until release. Default true. */
  renew?: boolean | undefined;
  /**
   * An identity to resume: an acquisition by the same owner takes its own lock over at once, with a
   * larger fencing token, and the older handle is lost (`superseded`). One owner per logical task;
   * not a label. Default: unique to the acquisition.
   */
  owner?: string | undefined;
  /**
   * From the grant: a release before that returns at once, and the store frees the lock then, even
   * if this process dies meanwhile.
   */
  holdAtLeast?: number | undefined;
  /** Called when the lock is lost, never when it is released. */
  onLost?: ((error: LockLostError) => void) | undefined;
  /**
   * What happens when the lock, or one of several, is already held by an enclosing `withLock` of the
   * same async context: `reject` with `LockReentryError` rather than wait for itself (default),
   * `join` the lock that is held, or `ignore` it and wait like anyone else.
   */
  reentry?: 'reject' | 'join' | 'ignore' | undefined;
}

/** Options of a single attempt. */
export type TryLockOptions = Omit<LockOptions, 'wait'>;

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
  readonly owner: string;
  readonly label: string;
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
   * @throws LockStoreError the store failed throughout, or cannot heal
   * @throws LockReentryError it would wait for itself
   * @throws LockArgumentError before any I/O
   * @throws LockerClosedError
   * @throws the reason of `signal` once it is aborted
   */
  lock(key: Key, options?: LockOptions): Promise<Lock>;
  /**
   * One attempt: `null` if the lock is busy or others wait for it. Bounded by `storeTimeout`.
   *
   * @throws as {@link Locker.lock}, but for `LockNotAcquiredError`
   */
  tryLock(key: Key, options?: TryLockOptions): Promise<Lock | null>;
  /**
   * Runs `fn` under a lock and releases it, whatever happens. Settles with what `fn` did, also when
   * the lock was lost meanwhile: `lock.signal` and `lock.assertHeld()` tell of that.
   *
   * @throws as {@link Locker.lock}, and whatever `fn` throws
   */
  withLock<T>(key: Key, fn: LockCallback<T>): Promise<T>;
  withLock<T>(key: Key, options: LockOptions | undefined, fn: LockCallback<T>): Promise<T>;
  /** As {@link Locker.withLock} with one attempt; `{ acquired: false }` if the lock is busy. */
  tryWithLock<T>(key: Key, fn: LockCallback<T>): Promise<Outcome<T>>;
  tryWithLock<T>(
    key: Key,
    options: TryLockOptions | undefined,
    fn: LockCallback<T>,
  ): Promise<Outcome<T>>;
  /** Who holds a lock; `null` if it is free. */
  inspect(key: string): Promise<LockInfo | null>;
  /**
   * For operators: frees a lock, whoever holds it. The holder learns of it (reason `forced`).
   *
   * @returns whether it was held
   */
  forceRelease(key: string): Promise<boolean>;
  /**
   * Listens to an event; see {@link LockEvents}. What a listener throws becomes a warning.
   *
   * @returns ends the listening
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

export interface CloseOptions {
  /** ms for holders to finish. Default 0. */
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
  /** Of its locker. */
  readonly label: string;
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
