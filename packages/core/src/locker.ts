import type { inspect as Inspect } from 'node:util';
import { Acquisition } from './acquire/acquisition.ts';
import type {
  CloseOptions,
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
import { EVENTS, MAX_HOLD } from './bypass.ts';
import { closeEngine } from './release/close.ts';
import { Engine } from './engine.ts';
import {
  LockArgumentError,
  LockerClosedError,
  LockNotAcquiredError,
  LockQueueFullError,
  LockReentryError,
  LockStoreError,
} from './errors.ts';
import { isEventName, type Events, type LockEvents } from './events.ts';
import { internalsOf, type HandleInternals } from './hold/handle.ts';
import { HeldLock } from './hold/lock.ts';
import { handOut, JoinedLock } from './hold/lock-views.ts';
import { storedKey } from './keys.ts';
import {
  checkClock,
  checkKey,
  checkKeys,
  isLongKey,
  resolveLockerOptions,
  unknownCloseOption,
} from './options.ts';
import { Plans } from './plans.ts';
import { forceRelease, inspect, list } from './questions.ts';
import type { Plan } from './hold/lease.ts';
import { covers, enclosingLocks, inScope, isInScope } from './scope.ts';
import type { MaybePromise } from './store.ts';
import { isPromiseLike } from './util/store-calls.ts';
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
  const engine = new Engine(options.store ?? memoryStore({ clock }), settings, clock);
  return new HoldfastLocker(engine);
}

/** The door of a locker: checks what is asked, and starts acquisitions. */
export class HoldfastLocker implements Locker {
  readonly #engine: Engine;
  readonly #waiting: Plans;
  readonly #once: Plans;
  #closing: Promise<void> | undefined = undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#waiting = new Plans(engine, engine.settings.wait);
    this.#once = new Plans(engine, 0);
  }

  // These are not async functions: with an embedded store every promise more shows in the cost.

  lock(key: Key, options?: LockOptions): Promise<Lock> {
    return promised(() => {
      const lock = this.#begin(key, this.#waiting.of(options), true) as MaybePromise<Lock>;
      return isPromiseLike(lock) ? awaited(lock, handOut) : handOut(lock);
    });
  }

  tryLock(key: Key, options?: TryLockOptions): Promise<Lock | null> {
    return promised(() => {
      const lock = this.#begin(key, this.#once.of(options), false);
      const given = (taken: Lock | null): Lock | null => taken && handOut(taken);
      return isPromiseLike(lock) ? awaited(lock, given) : given(lock);
    });
  }

  withLock<T>(
    key: Key,
    options: LockOptions | LockCallback<T> | undefined,
    work?: LockCallback<T>,
  ): Promise<T> {
    try {
      const callback = checkWork<T>(work ?? options);
      const plan = this.#waiting.of(callback === options ? undefined : (options as LockOptions));
      const lock = this.#begin(key, plan, true) as MaybePromise<Lock>;
      if (isPromiseLike(lock)) return awaited(lock, (taken) => run(taken, callback, plan));
      return run(lock, callback, plan);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  tryWithLock<T>(
    key: Key,
    options: TryLockOptions | LockCallback<T> | undefined,
    work?: LockCallback<T>,
  ): Promise<Outcome<T>> {
    return promised(async () => {
      const callback = checkWork<T>(work ?? options);
      const plan = this.#once.of(callback === options ? undefined : (options as TryLockOptions));
      const lock = await awaited(this.#begin(key, plan, false), (taken) => taken);
      if (lock === null) return { acquired: false };
      return { acquired: true, value: await run(lock, callback, plan) };
    });
  }

  async inspect(key: string): Promise<LockInfo | null> {
    checkKey(key);
    this.#checkOpen(key);
    return inspect(this.#engine, key, this.#name(key));
  }

  async list(options?: ListOptions): Promise<LockPage> {
    this.#checkOpen();
    return list(this.#engine, options);
  }

  async forceRelease(key: string): Promise<boolean> {
    checkKey(key);
    this.#checkOpen(key);
    return forceRelease(this.#engine, key, this.#name(key));
  }

  on<E extends keyof LockEvents>(event: E, listener: (payload: LockEvents[E]) => void): () => void {
    if (!isEventName(event)) throw new LockArgumentError(`There is no event '${String(event)}'.`);
    if (typeof listener !== 'function') throw new LockArgumentError('A listener is a function.');
    return this.#engine.events.on(event, listener);
  }

  async close(options?: CloseOptions): Promise<void> {
    // Never rejects: a drain time that is none counts as none.
    const drain = (options as CloseOptions | null | undefined)?.drain;
    const limit = typeof drain === 'number' && drain > 0 ? drain : 0;
    const unknown = unknownCloseOption(options);
    if (unknown !== undefined) this.#engine.events.warn('HOLDFAST_UNKNOWN_OPTION', unknown);
    this.#closing ??= closeEngine(this.#engine, limit);
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  [INSPECT](depth: number, options: object, show: typeof Inspect): string {
    const { settings, store, leases, admission } = this.#engine;
    const { name } = settings;
    const fields = { name, store: store.name, held: leases.size, waiting: admission.waiting };
    return inspected('Locker', fields, depth, options, show);
  }

  get [EVENTS](): Events {
    return this.#engine.events;
  }

  get [MAX_HOLD](): number {
    return this.#engine.settings.maxHold;
  }

  #checkOpen(key?: string): void {
    if (this.#closing !== undefined) throw new LockerClosedError({ key });
  }

  /** @throws LockArgumentError for a key that the store cannot take */
  #name(key: string, plan?: Plan): string {
    const { settings, store } = this.#engine;
    const { namespace } = settings;
    const acquiring = plan !== undefined;
    const stored = store.encodeKey?.({ namespace, key, owner: plan?.owner, acquiring });
    return stored ?? storedKey(namespace, key);
  }

  /**
   * @param demanding whether a lock that stays busy is an error; otherwise it is `null`
   * @throws LockArgumentError, LockReentryError or LockerClosedError, and the reason of an aborted signal
   */
  #begin(wanted: Key, plan: Plan, demanding: boolean): MaybePromise<Lock | null> {
    const single = typeof wanted === 'string' && wanted !== '' && !isLongKey(wanted);
    const keys = single ? undefined : checkKeys(wanted, this.#engine.settings.maxKeys);
    if (keys !== undefined && keys.length > 1) return this.#beginAll(keys, plan, demanding);
    const key = keys?.[0] ?? (wanted as string);
    this.#checkOpen(key);
    const stored = this.#name(key, plan);
    const joined = isInScope() ? this.#enclosing([key], [stored], plan) : undefined;
    throwIfAborted(plan.signal);
    if (joined !== undefined) return joined;
    const { admission } = this.#engine;
    const first = admission.first(plan, stored);
    if (first !== undefined && !isPromiseLike(first.reply) && first.reply.granted) {
      const grant = admission.grantOf(first.id, first.reply, first.sentAt);
      // No time has passed: the store answered in the same call.
      const lock = new HeldLock(plan, key, stored, grant, first.sentAt);
      lock.announce(0);
      return lock;
    }
    return new Acquisition(admission, plan, { key, stored }, demanding, first).lock;
  }

  #beginAll(
    keys: readonly [string, ...string[]],
    plan: Plan,
    demanding: boolean,
  ): MaybePromise<Lock | null> {
    this.#checkOpen(keys[0]);
    const named = keys.map((key): NamedKey => ({ key, stored: this.#name(key, plan) }));
    const stored = named.map((one) => one.stored);
    const joined = isInScope() ? this.#enclosing(keys, stored, plan) : undefined;
    throwIfAborted(plan.signal);
    if (joined !== undefined) return joined;
    // In one global order, so that no two acquisitions wait for each other.
    named.sort((a, b) => (a.stored < b.stored ? -1 : 1));
    const ordered = named as [NamedKey, ...NamedKey[]];
    return Acquisition.ofList(this.#engine.admission, plan, { keys, ordered }, demanding).lock;
  }

  /** What an enclosing lock of the same async context means for an acquisition, contract 2.5. */
  #enclosing(keys: readonly string[], stored: readonly string[], plan: Plan): Lock | undefined {
    const { reentry, wait } = plan;
    if (reentry === 'ignore' || (reentry === 'reject' && wait === 0)) return undefined;
    const enclosing = enclosingLocks(this.#engine.store, stored);
    if (enclosing === undefined) return undefined;
    if (reentry === 'join') {
      const outer = enclosing.find((lock) => covers(lock, stored));
      if (outer !== undefined) return new JoinedLock(outer, keys);
    }
    if (wait === 0) return undefined;
    throw new LockReentryError({ key: keys[0] });
  }
}

/** Goes on with a lock once there is one. */
async function awaited<L, T>(
  lock: MaybePromise<L>,
  then: (lock: L) => MaybePromise<T>,
): Promise<T> {
  let taken: L;
  try {
    taken = await lock;
  } catch (error) {
    throw restacked(error, endsWait);
  }
  return then(taken);
}

/** Not the reason of the caller's signal, which may be an error of ours too. */
function endsWait(error: unknown): error is Error {
  return (
    error instanceof LockNotAcquiredError ||
    error instanceof LockQueueFullError ||
    error instanceof LockStoreError ||
    error instanceof LockerClosedError
  );
}

function promised<T>(start: () => MaybePromise<T>): Promise<T> {
  try {
    const result = start();
    return result instanceof Promise ? result : Promise.resolve(result);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Runs the work of `withLock`, and releases the lock whatever becomes of it. */
function run<T>(lock: Lock, work: LockCallback<T>, { throwIfLost }: Plan): Promise<T> {
  // A lock that was joined is released by its holder.
  const internals = lock instanceof JoinedLock ? undefined : internalsOf(lock);
  if (internals !== undefined) internals.running = true;
  let result: T | PromiseLike<T>;
  try {
    result = inScope(lock, work);
  } catch (error) {
    return failed(internals, error);
  }
  const running = result instanceof Promise ? (result as Promise<T>) : Promise.resolve(result);
  return running.then(
    (value) => {
      const loss = throwIfLost ? lossOf(lock, value) : undefined;
      if (loss !== undefined) return failed(internals, loss);
      const released = finish(internals);
      return released instanceof Promise ? released.then(() => value) : value;
    },
    (error: unknown) => failed(internals, error),
  );
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

function failed(internals: HandleInternals | undefined, error: unknown): Promise<never> {
  const rejected = (): Promise<never> => Promise.reject(error);
  const released = finish(internals);
  return released instanceof Promise ? released.then(rejected) : rejected();
}

function finish(internals: HandleInternals | undefined): MaybePromise<unknown> {
  if (internals === undefined) return undefined;
  internals.running = false;
  return internals.end();
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw signal.reason as Error;
}

/** @throws LockArgumentError */
function checkWork<T>(work: unknown): LockCallback<T> {
  if (typeof work !== 'function') throw new LockArgumentError('The work must be a function.');
  return work as LockCallback<T>;
}
