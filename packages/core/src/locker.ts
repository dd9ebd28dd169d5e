import { Acquisition, type NamedKey } from './acquisition.ts';
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
} from './api.ts';
import { systemClock } from './clock.ts';
import { closeEngine } from './closing.ts';
import { Engine } from './engine.ts';
import {
  LockArgumentError,
  LockerClosedError,
  LockNotAcquiredError,
  LockReentryError,
  type StorePhase,
} from './errors.ts';
import { isEventName, type LockEvents } from './events.ts';
import { internalsOf } from './handle.ts';
import { JoinedLock } from './joined-lock.ts';
import { storedKey } from './keys.ts';
import {
  checkKey,
  checkKeys,
  defaultLockSettings,
  resolveLockerOptions,
  resolveLockOptions,
} from './options.ts';
import type { Plan } from './plan.ts';
import { covers, enclosingLocks, runWithLock } from './scope.ts';
import type { MaybePromise } from './store.ts';
import { isPromiseLike } from './store-calls.ts';
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
  const { store, clock } = options;
  const engine = new Engine(store ?? memoryStore({ clock }), settings, clock ?? systemClock);
  return new HoldfastLocker(engine);
}

class HoldfastLocker implements Locker {
  readonly #engine: Engine;
  readonly #defaults: Plan;
  readonly #defaultsOnce: Plan;
  #closing: Promise<void> | undefined = undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
    const { settings } = engine;
    const terms = engine.terms.for(settings.ttl);
    this.#defaults = { ...defaultLockSettings(settings), engine, terms };
    this.#defaultsOnce = { ...this.#defaults, wait: 0 };
  }

  async lock(key: Key, options?: LockOptions): Promise<Lock> {
    const lock = this.#wait(key, this.#plan(options));
    return isPromiseLike(lock) ? await lock : lock;
  }

  async tryLock(key: Key, options?: TryLockOptions): Promise<Lock | null> {
    const lock = this.#start(key, this.#planOnce(options)).lock;
    return isPromiseLike(lock) ? await lock : lock;
  }

  async withLock<T>(
    key: Key,
    ...rest: [LockCallback<T>] | [LockOptions | undefined, LockCallback<T>]
  ): Promise<T> {
    const [options, work] = splitArguments(rest);
    const lock = this.#wait(key, this.#plan(options));
    return this.#run(isPromiseLike(lock) ? await lock : lock, work);
  }

  async tryWithLock<T>(
    key: Key,
    ...rest: [LockCallback<T>] | [TryLockOptions | undefined, LockCallback<T>]
  ): Promise<Outcome<T>> {
    const [options, work] = splitArguments(rest);
    const lock = await this.#start(key, this.#planOnce(options)).lock;
    if (lock === null) return { acquired: false };
    return { acquired: true, value: await this.#run(lock, work) };
  }

  async inspect(key: string): Promise<LockInfo | null> {
    checkKey(key);
    const { client, queues, store } = this.#engine;
    const stored = this.#name(key, undefined);
    const grant = await this.#ask('inspect', key, () => store.inspect({ key: stored, client }));
    if (grant === null) return null;
    const waiters = (queues.get(stored)?.size ?? 0) + (grant.waiters ?? 0);
    return { key, ...grant, waiters };
  }

  async forceRelease(key: string): Promise<boolean> {
    checkKey(key);
    const { store } = this.#engine;
    const stored = this.#name(key, undefined);
    return this.#ask('force-release', key, () => store.forceRelease(stored));
  }

  on<E extends keyof LockEvents>(event: E, listener: (payload: LockEvents[E]) => void): () => void {
    if (!isEventName(event)) throw new LockArgumentError(`There is no event '${String(event)}'.`);
    if (typeof listener !== 'function') throw new LockArgumentError('A listener is a function.');
    return this.#engine.events.on(event, listener);
  }

  async close({ drain = 0 }: CloseOptions = {}): Promise<void> {
    // Never rejects: a drain time that is none counts as none.
    const limit = typeof drain === 'number' && drain > 0 ? drain : 0;
    this.#closing ??= closeEngine(this.#engine, limit);
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @throws LockArgumentError */
  #plan(options: LockOptions | undefined): Plan {
    const defaults = this.#defaults;
    if (options === undefined) return defaults;
    const { ttl, ...settings } = resolveLockOptions(options, defaults);
    const { engine, terms } = defaults;
    return { ...settings, engine, terms: ttl === undefined ? terms : engine.terms.for(ttl) };
  }

  #planOnce(options: TryLockOptions | undefined): Plan {
    return options === undefined ? this.#defaultsOnce : { ...this.#plan(options), wait: 0 };
  }

  /** @throws LockArgumentError for a key that the store cannot take */
  #name(key: string, owner: string | undefined): string {
    const { settings, store } = this.#engine;
    const { namespace } = settings;
    return store.encodeKey?.({ namespace, key, owner }) ?? storedKey(namespace, key);
  }

  #start(key: Key, plan: Plan): { lock: MaybePromise<Lock | null>; acquisition?: Acquisition } {
    const keys = checkKeys(key);
    if (this.#closing !== undefined) throw new LockerClosedError({ key: keys[0] });
    const named = keys.map((one): NamedKey => ({ key: one, stored: this.#name(one, plan.owner) }));
    const joined = this.#enclosing(keys, named, plan);
    if (joined !== undefined) {
      plan.signal?.throwIfAborted();
      return { lock: joined };
    }
    if (named.length > 1) named.sort((a, b) => (a.stored < b.stored ? -1 : 1));
    const acquisition = new Acquisition(plan, keys, named);
    return { lock: acquisition.start(), acquisition };
  }

  #wait(key: Key, plan: Plan): MaybePromise<Lock> {
    const { lock, acquisition } = this.#start(key, plan);
    const check = (held: Lock | null): Lock => {
      if (held !== null) return held;
      const waited = acquisition?.waited ?? 0;
      throw new LockNotAcquiredError({ key: Array.isArray(key) ? key[0] : key, waited });
    };
    return isPromiseLike(lock) ? lock.then(check) : check(lock);
  }

  /** What an enclosing lock of the same async context means for this acquisition, contract 2.5. */
  #enclosing(keys: readonly string[], named: readonly NamedKey[], plan: Plan): Lock | undefined {
    const { reentry, wait } = plan;
    if (reentry === 'ignore' || (reentry === 'reject' && wait === 0)) return undefined;
    const stored = named.map((one) => one.stored);
    const enclosing = enclosingLocks(this.#engine.store, stored);
    if (enclosing.length === 0) return undefined;
    if (reentry === 'join') {
      const outer = enclosing.find((lock) => covers(lock, stored));
      if (outer !== undefined) return new JoinedLock(outer, keys);
    }
    if (wait === 0) return undefined;
    throw new LockReentryError({ key: keys[0] });
  }

  async #run<T>(lock: Lock, work: LockCallback<T>): Promise<T> {
    try {
      return await runWithLock(lock, () => work(lock));
    } finally {
      if (!(lock instanceof JoinedLock)) {
        const released = internalsOf(lock)?.end();
        if (isPromiseLike(released)) await released;
      }
    }
  }

  #ask<T>(phase: StorePhase, key: string, send: () => MaybePromise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new LockerClosedError({ key });
    const { calls, settings } = this.#engine;
    return calls.ask({ phase, key, timeout: settings.storeTimeout ?? QUESTION_TIMEOUT, send });
  }
}

/** @throws LockArgumentError */
function splitArguments<O, T>(rest: [LockCallback<T>] | [O | undefined, LockCallback<T>]): [O | undefined, LockCallback<T>] {
  const [options, work] = rest.length === 1 ? [undefined, rest[0]] : rest;
  if (typeof work !== 'function') throw new LockArgumentError('The work must be a function.');
  return [options, work];
}
