import { acquire } from './acquire/key-acquisition.ts';
import { ListAcquisition } from './acquire/list-acquisition.ts';
import type {
  CloseOptions,
  Key,
  Lock,
  LockCallback,
  Locker,
  LockerOptions,
  LockInfo,
  LockOptions,
  Outcome,
  TryLockOptions,
} from './types.ts';
import { EVENTS } from './bypass.ts';
import { closeLocker } from './release/close.ts';
import { Context } from './context.ts';
import {
  LockArgumentError,
  LockerClosedError,
  LockLostError,
  LockReentryError,
  type StorePhase,
} from './errors.ts';
import { isEventName, type Events, type LockEvents } from './events.ts';
import { internalsOf } from './hold/handle.ts';
import { JoinedLock } from './hold/lock-views.ts';
import { storedKey } from './keys.ts';
import {
  checkClock,
  checkKey,
  checkKeys,
  defaultLockSettings,
  resolveLockerOptions,
  resolveLockOptions,
  type LockSettings,
} from './options.ts';
import { covers, enclosingLocks, inScope, isInScope } from './scope.ts';
import type { MaybePromise } from './store.ts';
import type { NamedKey } from './acquire/waiter.ts';
import { memoryStore } from './stores/memory.ts';

/** ms for questions of operators. */
const QUESTION_TIMEOUT = 2_000;

/**
 * Makes a locker.
 *
 * @throws LockArgumentError
 * @example
 * ```ts
 * const locker = createLocker({ store: redisStore(redis), ttl: 30_000 });
 * ```
 */
export function createLocker(options: LockerOptions = {}): Locker {
  const settings = resolveLockerOptions(options);
  const clock = checkClock(options);
  const store = options.store ?? memoryStore({ clock });
  return new HoldfastLocker(new Context(store, settings, clock));
}

/** The door of a locker: checks what is asked, and starts acquisitions. */
export class HoldfastLocker implements Locker {
  readonly #context: Context;
  readonly #defaults: LockSettings;
  readonly #defaultsOnce: LockSettings;
  #closing: Promise<void> | undefined = undefined;

  constructor(context: Context) {
    this.#context = context;
    this.#defaults = defaultLockSettings(context);
    this.#defaultsOnce = { ...this.#defaults, wait: 0 };
  }

  // These are not async functions: with an embedded store every promise more shows in the cost.

  lock(key: Key, options?: LockOptions): Promise<Lock> {
    try {
      const settings = this.#settings(options);
      return given(this.#begin(key, settings, true) as MaybePromise<Lock>, settings.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  tryLock(key: Key, options?: TryLockOptions): Promise<Lock | null> {
    try {
      const settings = this.#settingsOnce(options);
      return given(this.#begin(key, settings, false), settings.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  withLock<T>(
    key: Key,
    options: LockOptions | LockCallback<T> | undefined,
    work?: LockCallback<T>,
  ): Promise<T> {
    try {
      const callback = checkWork<T>(work ?? options);
      const settings = this.#settings(callback === options ? undefined : (options as LockOptions));
      const lock = this.#begin(key, settings, true) as MaybePromise<Lock>;
      return run(lock, settings.signal, callback);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  tryWithLock<T>(
    key: Key,
    options: TryLockOptions | LockCallback<T> | undefined,
    work?: LockCallback<T>,
  ): Promise<Outcome<T>> {
    try {
      const callback = checkWork<T>(work ?? options);
      const settings = this.#settingsOnce(
        callback === options ? undefined : (options as TryLockOptions),
      );
      const lock = this.#begin(key, settings, false);
      return tryToRun(lock, settings.signal, callback);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async inspect(key: string): Promise<LockInfo | null> {
    checkKey(key);
    const { client, store, queues } = this.#context;
    const stored = this.#name(key);
    const grant = await this.#ask('inspect', key, () => store.inspect({ key: stored, client }));
    if (grant === null) return null;
    const waiters = queues.waitersFor(stored) + (grant.waiters ?? 0);
    return { key, ...grant, waiters };
  }

  async forceRelease(key: string): Promise<boolean> {
    checkKey(key);
    const { store } = this.#context;
    const stored = this.#name(key);
    return this.#ask('force-release', key, () => store.forceRelease(stored));
  }

  on<E extends keyof LockEvents>(event: E, listener: (payload: LockEvents[E]) => void): () => void {
    if (!isEventName(event)) throw new LockArgumentError(`There is no event '${String(event)}'.`);
    if (typeof listener !== 'function') throw new LockArgumentError('A listener is a function.');
    return this.#context.events.on(event, listener);
  }

  async close(options?: CloseOptions): Promise<void> {
    // Never rejects: a drain time that is none counts as none.
    const drain = (options as CloseOptions | null | undefined)?.drain;
    const limit = typeof drain === 'number' && drain > 0 ? drain : 0;
    this.#closing ??= closeLocker(this.#context, limit);
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get [EVENTS](): Events {
    return this.#context.events;
  }

  /** @throws LockArgumentError */
  #settings(options: LockOptions | undefined): LockSettings {
    return options === undefined ? this.#defaults : resolveLockOptions(options, this.#defaults);
  }

  #settingsOnce(options: TryLockOptions | undefined): LockSettings {
    if (options === undefined) return this.#defaultsOnce;
    return { ...resolveLockOptions(options, this.#defaultsOnce), wait: 0 };
  }

  /** @throws LockArgumentError for a key that the store cannot take */
  #name(key: string, settings?: LockSettings): string {
    const { settings: locker, store } = this.#context;
    const { namespace } = locker;
    const acquiring = settings !== undefined;
    const stored = store.encodeKey?.({ namespace, key, owner: settings?.owner, acquiring });
    return stored ?? storedKey(namespace, key);
  }

  /**
   * @param demanding whether a lock that stays busy is an error; otherwise it is `null`
   * @throws LockArgumentError, LockReentryError or LockerClosedError, and the reason of an aborted signal
   */
  #begin(wanted: Key, settings: LockSettings, demanding: boolean): MaybePromise<Lock | null> {
    const { notices } = this.#context;
    notices.begin();
    try {
      return this.#start(wanted, settings, demanding);
    } finally {
      // Whatever happens in the call, it returns before anybody is told.
      notices.endLater();
    }
  }

  #start(wanted: Key, settings: LockSettings, demanding: boolean): MaybePromise<Lock | null> {
    const keys = typeof wanted === 'string' && wanted !== '' ? undefined : checkKeys(wanted);
    if (keys !== undefined && keys.length > 1) return this.#startAll(keys, settings, demanding);
    const key = keys?.[0] ?? (wanted as string);
    if (this.#closing !== undefined) throw new LockerClosedError({ key });
    const stored = this.#name(key, settings);
    const joined = isInScope() ? this.#enclosing([key], [stored], settings) : undefined;
    throwIfAborted(settings.signal);
    if (joined !== undefined) return joined;
    return acquire(settings, key, stored, demanding);
  }

  #startAll(
    keys: readonly [string, ...string[]],
    settings: LockSettings,
    demanding: boolean,
  ): MaybePromise<Lock | null> {
    if (this.#closing !== undefined) throw new LockerClosedError({ key: keys[0] });
    const named = keys.map((key): NamedKey => ({ key, stored: this.#name(key, settings) }));
    const stored = named.map((one) => one.stored);
    const joined = isInScope() ? this.#enclosing(keys, stored, settings) : undefined;
    throwIfAborted(settings.signal);
    if (joined !== undefined) return joined;
    // In one global order, so that no two acquisitions wait for each other.
    named.sort((a, b) => (a.stored < b.stored ? -1 : 1));
    return new ListAcquisition(settings, keys, named, demanding).start();
  }

  /** What an enclosing lock of the same async context means for an acquisition, contract 2.5. */
  #enclosing(
    keys: readonly string[],
    stored: readonly string[],
    settings: LockSettings,
  ): Lock | undefined {
    const { reentry, wait } = settings;
    if (reentry === 'ignore' || (reentry === 'reject' && wait === 0)) return undefined;
    const enclosing = enclosingLocks(this.#context.store, stored);
    if (enclosing === undefined) return undefined;
    if (reentry === 'join') {
      const outer = enclosing.find((lock) => covers(lock, stored));
      if (outer !== undefined) return new JoinedLock(outer, keys);
    }
    if (wait === 0) return undefined;
    throw new LockReentryError({ key: keys[0] });
  }

  #ask<T>(phase: StorePhase, key: string, send: () => MaybePromise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new LockerClosedError({ key });
    const { calls, settings } = this.#context;
    return calls.ask({ phase, key, timeout: settings.storeTimeout ?? QUESTION_TIMEOUT, send });
  }
}

/** What a call for a lock answers: also where the lock was there at once, an abort in the same turn counts. */
function given<T extends Lock | null>(
  lock: MaybePromise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (lock instanceof Promise) return lock as Promise<T>;
  const taken = Promise.resolve(lock);
  if (signal === undefined || lock === null) return taken;
  return taken.then((held) => (signal.aborted ? givenUp(held as Lock, signal) : held));
}

/** The caller has aborted before it could have the lock, and does not wait for its release. */
function givenUp(lock: Lock, signal: AbortSignal): Promise<never> {
  void lock.release();
  return Promise.reject(signal.reason as Error);
}

/** Runs the work of `withLock` as soon as the lock is there, and releases it whatever becomes of that. */
async function run<T>(
  taken: MaybePromise<Lock>,
  signal: AbortSignal | undefined,
  work: LockCallback<T>,
): Promise<T> {
  const lock = await taken;
  if (signal?.aborted === true) return givenUp(lock, signal);
  // A lock that was joined is released by its holder.
  const internals = lock instanceof JoinedLock ? undefined : internalsOf(lock);
  if (internals === undefined) return inScope(lock, work);
  const { ended } = internals;
  if (ended instanceof LockLostError && ended.reason === 'closed') {
    throw new LockerClosedError({ key: lock.key });
  }
  internals.running = true;
  try {
    return await inScope(lock, work);
  } finally {
    internals.running = false;
    const released = internals.end();
    if (released instanceof Promise) await released;
  }
}

async function tryToRun<T>(
  taken: MaybePromise<Lock | null>,
  signal: AbortSignal | undefined,
  work: LockCallback<T>,
): Promise<Outcome<T>> {
  const lock = await taken;
  if (lock === null) return { acquired: false };
  return { acquired: true, value: await run(lock, signal, work) };
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw signal.reason as Error;
}

/** @throws LockArgumentError */
function checkWork<T>(work: unknown): LockCallback<T> {
  if (typeof work !== 'function') throw new LockArgumentError('The work must be a function.');
  return work as LockCallback<T>;
}
