import type { inspect as Inspect } from 'node:util';
import type { Call } from './acquire/acquisition.ts';
import { acquire } from './acquire/key-acquisition.ts';
import { ListAcquisition } from './acquire/list-acquisition.ts';
import type {
  CloseOptions,
  ForceReleaseOptions,
  Key,
  ListOptions,
  Lock,
  LockCallback,
  Locker,
  LockerOptions,
  LockInfo,
  LockOptions,
  LockPage,
  Outcome,
  TryLockOptions,
} from './types.ts';
import { CLOCK, EVENTS, MAX_HOLD } from './bypass.ts';
import type { Clock } from './util/time.ts';
import { closeLocker } from './release/close.ts';
import { Context } from './context.ts';
import {
  LockArgumentError,
  LockConflictError,
  LockerClosedError,
  LockLostError,
  LockNotAcquiredError,
  LockQueueFullError,
  LockReentryError,
  LockStoreError,
} from './errors.ts';
import { isEventName, type Events, type LockEvents } from './events.ts';
import type { Handle } from './hold/lock-events.ts';
import { handOut, JoinedLock } from './hold/lock-views.ts';
import { startOf, storedKeyOf } from './keys.ts';
import {
  checkClock,
  checkKey,
  checkKeys,
  limitOf,
  resolveForcedOwner,
  resolveLockerOptions,
  settingsFor,
  SHORT_KEY,
  type LockSettings,
  unknownCloseOption,
} from './options.ts';
import { KnownSettings } from './known-settings.ts';
import { forceRelease, inspect, list } from './questions.ts';
import { enclosingLocks, inScope, isInScope, type Enclosing, type Wanted } from './scope.ts';
import type { NamedKey } from './acquire/waiter.ts';
import { INSPECT, inspected } from './util/inspection.ts';
import { restacked } from './util/traces.ts';
import { memoryStore } from './stores/memory.ts';

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
  readonly #waiting: KnownSettings;
  readonly #once: KnownSettings;
  /** What stored keys begin with, unless the store encodes them. */
  readonly #keyStart: string;
  #closing: Promise<void> | undefined = undefined;

  constructor(context: Context) {
    this.#context = context;
    this.#keyStart = startOf(context.settings.namespace);
    this.#waiting = new KnownSettings(context, context.settings.wait);
    this.#once = new KnownSettings(context, 0);
  }

  // These are not async functions: with an embedded store every promise more shows in the cost.

  lock(key: Key, options?: LockOptions): Promise<Lock> {
    try {
      const settings = options === undefined ? this.#waiting.defaults : this.#waiting.of(options);
      const { signal } = settings;
      const started = this.#start(key, settings, signal === undefined ? LOCK : WITH_LOCK);
      return given(started, signal) as Promise<Lock>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  tryLock(key: Key, options?: TryLockOptions): Promise<Lock | null> {
    try {
      const settings = options === undefined ? this.#once.defaults : this.#once.of(options);
      const { signal } = settings;
      const started = this.#start(key, settings, signal === undefined ? TRY_LOCK : TRY_WITH_LOCK);
      return given(started, signal);
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
      const chosen = callback === options ? undefined : (options as LockOptions);
      const settings = chosen === undefined ? this.#waiting.defaults : this.#waiting.of(chosen);
      return run(this.#start(key, settings, WITH_LOCK) as Started<Taken>, settings, callback);
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
      const chosen = callback === options ? undefined : (options as TryLockOptions);
      const settings = chosen === undefined ? this.#once.defaults : this.#once.of(chosen);
      return tryToRun(
        this.#start(key, settings, TRY_WITH_LOCK) as Started<Taken | null>,
        settings,
        callback,
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async inspect(key: string): Promise<LockInfo | null> {
    checkKey(key);
    this.#checkOpen(key);
    return inspect(this.#context, key, this.#name(key));
  }

  async list(options?: ListOptions): Promise<LockPage> {
    this.#checkOpen();
    return list(this.#context, options);
  }

  async forceRelease(key: string, options?: ForceReleaseOptions): Promise<boolean> {
    checkKey(key);
    const owners = resolveForcedOwner(options);
    this.#checkOpen(key);
    return forceRelease(this.#context, key, this.#name(key), owners);
  }

  on<E extends keyof LockEvents>(event: E, listener: (payload: LockEvents[E]) => void): () => void {
    if (!isEventName(event)) throw new LockArgumentError(`There is no event '${String(event)}'.`);
    if (typeof listener !== 'function')
      throw new LockArgumentError('The listener must be a function.');
    return this.#context.events.on(event, listener);
  }

  async close(options?: CloseOptions): Promise<void> {
    // Never rejects: a drain time that is none counts as none.
    const drain = (options as CloseOptions | null | undefined)?.drain;
    const limit = typeof drain === 'number' && drain > 0 ? drain : 0;
    const unknown = unknownCloseOption(options);
    if (unknown !== undefined) this.#context.events.warn('HOLDFAST_UNKNOWN_OPTION', unknown);
    this.#closing ??= closeLocker(this.#context, limit);
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  [INSPECT](depth: number, options: object, show: typeof Inspect): string {
    const { settings, store, held, queues } = this.#context;
    const { name } = settings;
    const fields = { name, store: store.name, held: held.size, waiting: queues.waiting };
    return inspected('Locker', fields, depth, options, show);
  }

  get [EVENTS](): Events {
    return this.#context.events;
  }

  get [CLOCK](): Clock {
    return this.#context.time.clock;
  }

  get [MAX_HOLD](): number {
    return this.#context.settings.maxHold;
  }

  #checkOpen(key?: string): void {
    if (this.#closing !== undefined) throw new LockerClosedError({ key });
  }

  /** @throws LockArgumentError for a key that the store cannot take */
  #name(key: string, settings?: LockSettings): string {
    const { settings: locker, store } = this.#context;
    if (store.encodeKey === undefined) return storedKeyOf(this.#keyStart, key);
    const { namespace } = locker;
    const acquiring = settings !== undefined;
    const stored = store.encodeKey({ namespace, key, owner: settings?.owner, acquiring });
    return stored ?? storedKeyOf(this.#keyStart, key);
  }

  /** @throws LockArgumentError, LockReentryError or LockerClosedError, and the reason of an aborted signal */
  #start(wanted: Key, settings: LockSettings, call: Call): Started<Lock | null> {
    if (settings.sharings !== undefined) return this.#startLimited(wanted, settings, call);
    let key = wanted as string;
    if (typeof wanted !== 'string' || wanted === '' || wanted.length > SHORT_KEY) {
      const keys = checkKeys(wanted, this.#context.settings.maxKeys);
      if (keys.length > 1) return this.#startAll(keys, settings, call);
      [key] = keys;
    }
    if (this.#closing !== undefined) throw new LockerClosedError({ key });
    const stored = this.#name(key, settings);
    const joined = isInScope()
      ? this.#enclosing([key], [{ stored, settings }], settings)
      : undefined;
    if (settings.signal !== undefined) throwIfAborted(settings.signal);
    return joined ?? acquire(settings, key, stored, call);
  }

  /** Each key has a limit of its own. */
  #startLimited(wanted: Key, settings: LockSettings, call: Call): Started<Lock | null> {
    const keys = checkKeys(wanted, this.#context.settings.maxKeys);
    const all: readonly string[] = typeof wanted === 'string' ? [wanted] : wanted;
    if (all.length !== settings.sharings?.length) {
      throw new LockArgumentError(
        'A list of limits must have one for each key, in the same order.',
      );
    }
    const each = keys.map((key) => settingsFor(settings, all.indexOf(key)));
    for (const [index, key] of all.entries()) {
      const own = each[keys.indexOf(key)] as LockSettings;
      if (limitOf(own) !== limitOf(settingsFor(settings, index))) {
        throw new LockArgumentError('A key is in the list twice, with different limits.');
      }
    }
    if (keys.length === 1) return this.#start(keys[0], each[0] as LockSettings, call);
    return this.#startAll(keys, settings, call, each);
  }

  /** @param each the settings for each key, where these differ */
  #startAll(
    keys: readonly [string, ...string[]],
    settings: LockSettings,
    call: Call,
    each?: readonly LockSettings[],
  ): Started<Lock | null> {
    this.#checkOpen(keys[0]);
    const named = keys.map((key, index): NamedKey & Wanted => {
      return { key, stored: this.#name(key, settings), settings: each?.[index] ?? settings };
    });
    const joined = isInScope() ? this.#enclosing(keys, named, settings) : undefined;
    throwIfAborted(settings.signal);
    if (joined !== undefined) return joined;
    // In one global order, so that no two acquisitions wait for each other. Keys with the smaller limits
    // come first: who waits for one of those has not yet taken what others could use.
    named.sort(
      (a, b) => limitOf(a.settings) - limitOf(b.settings) || (a.stored < b.stored ? -1 : 1),
    );
    return new ListAcquisition(settings, keys, named, call).start();
  }

  /** What an enclosing lock of the same async context means for an acquisition. */
  #enclosing(
    keys: readonly string[],
    wanted: readonly Wanted[],
    settings: LockSettings,
  ): JoinedLock | undefined {
    const { reentry, wait } = settings;
    if (reentry === 'ignore' || (reentry === 'reject' && wait === 0)) return undefined;
    const enclosing = enclosingLocks(this.#context.store, wanted);
    if (enclosing === undefined) return undefined;
    if (reentry === 'join') {
      const outer = enclosing.find(({ serves }) => serves);
      if (outer !== undefined) return new JoinedLock(outer.lock, keys);
    }
    if (wait === 0) return undefined;
    throw conflictWith(enclosing, keys[0]) ?? new LockReentryError({ key: keys[0] });
  }
}

const UPGRADE =
  'This lock is held as `shared` by the code that asks for it alone, which would wait for itself. ' +
  'Release the shared lock first.';

/** Why an acquisition could never have its lock beside those that enclose it. */
function conflictWith(
  enclosing: readonly Enclosing[],
  key: string | undefined,
): LockConflictError | undefined {
  for (const { conflict } of enclosing) {
    if (conflict === undefined) continue;
    const { limit, currentLimit } = conflict;
    const message = limit === currentLimit ? UPGRADE : undefined;
    return new LockConflictError({ key, limit, currentLimit, message });
  }
  return undefined;
}

const LOCK: Call = { demanding: true, byHand: true };
const TRY_LOCK: Call = { demanding: false, byHand: true };
// Also for calls with a signal: the locker looks at that once more before it hands the lock out.
const WITH_LOCK: Call = { demanding: true, byHand: false };
const TRY_WITH_LOCK: Call = { demanding: false, byHand: false };

/** What an acquisition comes to: a lock, or the use of one around it. */
type Taken = Handle | JoinedLock;

/** An acquisition: the lock, if it was there at once. */
type Started<T> = T | Promise<T>;

/** What a call for a lock answers. */
function given(taken: Started<Lock | null>, signal: AbortSignal | undefined): Promise<Lock | null> {
  if (signal !== undefined) return unlessAborted(taken as Started<Taken | null>, signal);
  return taken instanceof Promise ? taken : Promise.resolve(handOut(taken as Taken));
}

/** An abort counts until the caller has the lock, also where that was there at once. */
async function unlessAborted(
  taken: Started<Taken | null>,
  signal: AbortSignal,
): Promise<Lock | null> {
  const lock = await (taken instanceof Promise ? awaited(taken) : taken);
  if (lock === null) return null;
  return signal.aborted ? givenUp(lock, signal) : handOut(lock);
}

/** A lock, once there is one; errors that end the wait for it name those who await this. */
async function awaited<L>(lock: Promise<L>): Promise<L> {
  try {
    return await lock;
  } catch (error) {
    throw withCaller(error);
  }
}

/** The caller has aborted before it could have the lock, and does not wait for its release. */
function givenUp(lock: Taken, signal: AbortSignal): Promise<never> {
  // A lock that was joined is released by its holder.
  if (!(lock instanceof JoinedLock)) giveBack(lock);
  return Promise.reject(signal.reason as Error);
}

/** Nobody has had the lock, so it is free at once, whatever `holdAtLeast` says. */
function giveBack(lock: Handle): void {
  lock.settings = { ...lock.settings, holdAtLeast: 0 };
  void lock.end();
}

/** An error, which names those who await this if it ends the wait for a lock. */
function withCaller(error: unknown): unknown {
  return endsWait(error) ? restacked(error) : error;
}

/** Not the reason of the caller's signal, which may be an error of ours too. */
function endsWait(error: unknown): boolean {
  return (
    error instanceof LockNotAcquiredError ||
    error instanceof LockConflictError ||
    error instanceof LockQueueFullError ||
    error instanceof LockStoreError ||
    error instanceof LockerClosedError
  );
}

/** Runs the work of `withLock` as soon as the lock is there, and releases it whatever becomes of that. */
async function run<T>(
  taken: Started<Taken>,
  { signal, throwIfLost }: LockSettings,
  work: LockCallback<T>,
): Promise<T> {
  let lock: Taken;
  try {
    lock = await taken;
  } catch (error) {
    throw withCaller(error);
  }
  if (signal?.aborted === true) return givenUp(lock, signal);
  // A lock that was joined is released by its holder.
  const own = lock instanceof JoinedLock ? undefined : lock;
  if (own?.ended !== undefined) throwIfClosed(own, own.ended);
  if (own !== undefined) own.running = true;
  try {
    const value = await inScope(lock, work);
    const loss = throwIfLost ? lossOf(lock, value) : undefined;
    if (loss !== undefined) throw loss as Error;
    return value;
  } finally {
    if (own !== undefined) {
      own.running = false;
      const released = own.end();
      if (released instanceof Promise) await released;
    }
  }
}

/** The locker was closed between the grant and the call of the work. */
function throwIfClosed(lock: Handle, ended: NonNullable<Handle['ended']>): void {
  if (!(ended instanceof LockLostError) || ended.reason !== 'closed') return;
  giveBack(lock);
  throw new LockerClosedError({ key: lock.key });
}

async function tryToRun<T>(
  taken: Started<Taken | null>,
  settings: LockSettings,
  work: LockCallback<T>,
): Promise<Outcome<T>> {
  const lock = await (taken instanceof Promise ? awaited(taken) : taken);
  if (lock === null) return { acquired: false };
  return { acquired: true, value: await run(lock, settings, work) };
}

/** The loss of a lock, with what its work returned all the same. */
function lossOf(lock: Lock, value: unknown): unknown {
  if (lock.state !== 'lost') return undefined;
  try {
    lock.assertHeld();
    return undefined;
  } catch (error) {
    const property = { value, configurable: true, enumerable: false, writable: true };
    return Object.defineProperty(error as Error, 'value', property);
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw signal.reason as Error;
}

/** @throws LockArgumentError */
function checkWork<T>(work: unknown): LockCallback<T> {
  if (typeof work !== 'function') throw new LockArgumentError('The work must be a function.');
  return work as LockCallback<T>;
}
