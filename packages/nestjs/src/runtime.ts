import {
  currentLock,
  LockAbortedError,
  LockerClosedError,
  LockError,
  LockNotAcquiredError,
  reportBypass,
  withSignal,
  type Key,
  type Lock,
  type Locker,
  type LockOptions,
} from '@holdfast/core';
import { Logger, type ExecutionContext } from '@nestjs/common';
import type { Acquired } from './consumer-lock.ts';
import { LockUse, type LockUseOwner } from './lock-use.ts';
import type { WithLockOptions } from './options.ts';
import { shared } from './names.ts';

/** ms, where neither the decorator nor the module says how long to wait. */
const DEFAULT_WAIT = 10_000;

/** What a lock is for: the method or the route handler that runs under it. */
export interface Purpose {
  /** Of the method or the handler. */
  readonly property: string | symbol | undefined;
  /** The instance, for a method. */
  readonly self?: unknown;
  /** What runs under the lock: the method, and before it overrides that have called it with `super`. */
  readonly methods: readonly unknown[];
  /** The controller's class, for a route handler. */
  readonly type?: unknown;
}

/** By the lock that code runs under. */
const purposes = shared('purposes', () => new WeakMap<Lock, Purpose>());

/** One acquisition for a method or a handler. */
export interface LockRequest {
  readonly key: () => Key | null | PromiseLike<Key | null>;
  readonly options: WithLockOptions;
  /** The lock is busy: returns what stands for the result, or throws. */
  readonly onLocked: (error: LockNotAcquiredError) => unknown;
  readonly purpose: Purpose;
  /** Whether a lock that is held for `outer` is also this one's, if the key is the same. */
  readonly joins: (outer: Purpose) => boolean;
  readonly control: AbortController;
  readonly context?: ExecutionContext | undefined;
  /** Aborts the lock's signal, and nothing else. */
  readonly gone?: AbortSignal | undefined;
}

/** Of one {@link LockRuntime}. */
export interface RuntimeSettings {
  readonly wait: number | undefined;
  readonly shutdownTimeout: number;
  readonly exceptionFactory:
    | ((error: LockError, context?: ExecutionContext) => unknown)
    | undefined;
  /** Whether the locker was made by the module, which then closes it. */
  readonly own: boolean;
}

/** What `@WithLock` and `@UseLock` need of a `LockModule`: its locker, and what they hold of it. */
export class LockRuntime implements LockUseOwner {
  readonly #uses = new Set<LockUse>();
  readonly #waiting = new Set<AbortController>();
  #phase: 'open' | 'stopping' | 'closed' = 'open';
  #onIdle: (() => void) | undefined = undefined;

  constructor(
    readonly locker: Locker,
    private readonly settings: RuntimeSettings,
  ) {}

  /**
   * @throws what the `exceptionFactory` makes of a {@link LockError}
   * @throws whatever the key function or an `onLocked` function throws
   */
  async acquire(request: LockRequest): Promise<Acquired> {
    try {
      return { lockUse: await this.#acquire(request) };
    } catch (error) {
      if (error instanceof LockNotAcquiredError)
        return { value: await this.#rejected(error, request) };
      throw this.#exceptionFor(error, request);
    }
  }

  /** From now on nobody waits: what is free can still be had, by requests that are under way. */
  stopWaiting(): void {
    if (this.#phase === 'open') this.#phase = 'stopping';
    for (const control of this.#waiting) control.abort(new LockerClosedError());
  }

  /** Waits, bounded, until nothing is held any more, and then gives nothing out. Never rejects. */
  async close(): Promise<void> {
    const until = performance.now() + this.settings.shutdownTimeout;
    this.stopWaiting();
    // Nobody will consume these any more.
    for (const lockUse of this.#uses) if (lockUse.resting) void lockUse.end();
    if (this.#uses.size > 0) await this.#idle(this.settings.shutdownTimeout);
    this.#phase = 'closed';
    if (this.settings.own) {
      await this.locker.close({ drain: Math.max(0, until - performance.now()) });
      return;
    }
    for (const { control } of this.#uses) {
      control.abort(new LockAbortedError('The application is shutting down.'));
    }
  }

  ended(lockUse: LockUse): void {
    this.#uses.delete(lockUse);
    if (this.#uses.size === 0) this.#onIdle?.();
  }

  unconsumed(): void {
    new Logger('LockModule').warn(
      'Nobody consumed the Observable, iterable or stream that a method with a lock returned: its ' +
        'lock was kept until the ttl was over.',
    );
  }

  async #rejected(error: LockNotAcquiredError, request: LockRequest): Promise<unknown> {
    try {
      return await request.onLocked(error);
    } catch (thrown) {
      throw thrown === error ? this.#exceptionFor(error, request) : thrown;
    }
  }

  #exceptionFor(error: unknown, { context }: LockRequest): unknown {
    const ours = error instanceof LockError && !(error instanceof LockAbortedError);
    return (ours ? this.settings.exceptionFactory?.(error, context) : undefined) ?? error;
  }

  async #acquire(request: LockRequest): Promise<LockUse> {
    const { options, joins, purpose, control, gone } = request;
    if (this.#phase === 'closed') throw new LockerClosedError();
    const key = await request.key();
    if (key === null) {
      reportBypass(this.locker, {});
      return this.#use(undefined, false, control);
    }
    const outer = lockAround(key);
    const outerPurpose = outer && purposes.get(outer);
    const same = outerPurpose !== undefined && joins(outerPurpose);
    const reentry = options.reentry ?? (same ? 'join' : undefined);
    const methods = same ? [...outerPurpose.methods, ...purpose.methods] : purpose.methods;
    const acquired = await this.#lock(key, request, reentry);
    const joined = reentry === 'join' && outer !== undefined && outer.signal === acquired.signal;
    const lock = gone === undefined ? acquired : withSignal(acquired, gone);
    purposes.set(lock, { ...purpose, methods });
    return this.#use(lock, joined, control);
  }

  async #lock(
    key: Key,
    { options, control }: LockRequest,
    reentry: LockOptions['reentry'],
  ): Promise<Lock> {
    const { ttl, maxHold, holdAtLeast, onLocked = 'throw' } = options;
    const patience = onLocked === 'throw' ? (this.settings.wait ?? DEFAULT_WAIT) : 0;
    const wait = this.#phase === 'open' ? (options.wait ?? patience) : 0;
    const { signal } = control;
    this.#waiting.add(control);
    try {
      return await this.locker.lock(key, { ttl, wait, maxHold, holdAtLeast, reentry, signal });
    } finally {
      this.#waiting.delete(control);
    }
  }

  #use(lock: Lock | undefined, joined: boolean, control: AbortController): LockUse {
    const lockUse = new LockUse(lock, joined, control, this);
    this.#uses.add(lockUse);
    return lockUse;
  }

  async #idle(timeout: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeout);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onIdle = undefined;
  }
}

/** The lock of this key that the calling code runs under. */
function lockAround(key: Key): Lock | undefined {
  const first: unknown = Array.isArray(key) ? key[0] : key;
  return typeof first === 'string' ? currentLock(first) : undefined;
}
