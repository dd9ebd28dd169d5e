import {
  checkKeyAnswer,
  currentLock,
  isKey,
  LockAbortedError,
  LockerClosedError,
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
import { currentExecution } from './execution-scope.ts';
import type { LockExceptions } from './lock-exceptions.ts';
import { LockUse, type LockUseOwner } from './lock-use.ts';
import { shared } from './names.ts';
import type { LockSettings } from './options.ts';

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
  readonly settings: LockSettings;
  /** The lock is busy: returns what stands for the result, or throws. */
  readonly onLocked: (error: LockNotAcquiredError) => unknown;
  readonly purpose: Purpose;
  /** Whether a lock that is held for `outer` is also this one's, if the key is the same. */
  readonly joins: (outer: Purpose) => boolean;
  readonly control: AbortController;
  /** Whether code computes the key, or the options, for each call. */
  readonly computed: boolean;
  /** Names the decorator, and what it is on, for error messages. */
  readonly describe: () => string;
  /** Default: of the handler that the calling code is part of. */
  readonly context?: ExecutionContext | undefined;
  /** Aborts the lock's signal, and nothing else. */
  readonly gone?: AbortSignal | undefined;
}

/** Of one {@link LockRuntime}. */
export interface RuntimeSettings {
  readonly wait: number | undefined;
  readonly shutdownTimeout: number;
  readonly throwIfLost: boolean;
  /** Whether a shutdown serves the calls that wait, too. */
  readonly serveWaiting: boolean;
  /** Whether the locker was made by the module, which then closes it. */
  readonly own: boolean;
}

const RUNTIME_BRAND = Symbol.for('@holdfast/nestjs:runtime');

/** Acquires the locks of `@WithLock` and `@UseLock` from a module's locker, and drains them at shutdown. */
export class LockRuntime implements LockUseOwner {
  readonly [RUNTIME_BRAND] = true;
  private readonly uses = new Set<LockUse>();
  private readonly waiting = new Set<AbortController>();
  private phase: 'open' | 'stopping' | 'closed' = 'open';
  private onIdle: (() => void) | undefined = undefined;

  constructor(
    readonly locker: Locker,
    readonly exceptions: LockExceptions,
    private readonly settings: RuntimeSettings,
  ) {}

  /**
   * @throws what {@link LockExceptions} make of a lock's error
   * @throws whatever the key function or an `onLocked` function throws
   */
  async acquire(request: LockRequest): Promise<Acquired> {
    try {
      return { lockUse: await this.useFor(request) };
    } catch (error) {
      if (!(error instanceof LockNotAcquiredError)) throw this.exceptionFor(error, request);
      return { value: await this.rejected(error, request) };
    } finally {
      this.waiting.delete(request.control);
      this.checkIdle();
    }
  }

  /** What a request throws in place of an error. */
  exceptionFor(
    error: unknown,
    { computed, context, settings }: Pick<LockRequest, 'computed' | 'context' | 'settings'>,
  ): unknown {
    return this.exceptions.map(error, {
      context: context ?? currentExecution(),
      answer: settings.answer,
      fromRequest: computed,
    });
  }

  /** From now on calls do not wait: only what is free can still be had, by requests that are under way. */
  stopWaiting(): void {
    if (this.phase !== 'open') return;
    this.phase = 'stopping';
    if (!this.settings.serveWaiting) this.refuseWaiting();
    else setTimeout(() => this.refuseWaiting(), this.settings.shutdownTimeout).unref();
  }

  /** Waits, bounded, until nothing is held any more, and then gives nothing out. Never rejects. */
  async close(): Promise<void> {
    const until = performance.now() + this.settings.shutdownTimeout;
    this.stopWaiting();
    // Nobody will consume these any more.
    for (const lockUse of this.uses) if (lockUse.resting) void lockUse.end();
    if (!this.isIdle) await this.idle(this.settings.shutdownTimeout);
    this.phase = 'closed';
    this.refuseWaiting();
    if (this.settings.own) {
      await this.locker.close({ drain: Math.max(0, until - performance.now()) });
      return;
    }
    for (const { control } of this.uses) {
      control.abort(new LockAbortedError('The application is shutting down.'));
    }
  }

  ended(lockUse: LockUse): void {
    this.uses.delete(lockUse);
    this.checkIdle();
  }

  unconsumed(): void {
    new Logger('LockModule').warn(
      'Nobody consumed the Observable, iterable or stream that a method with a lock returned: its ' +
        'lock was kept until its ttl ran out. Consume the result, or return a promise of a plain value.',
    );
  }

  private async rejected(error: LockNotAcquiredError, request: LockRequest): Promise<unknown> {
    try {
      return await request.onLocked(error);
    } catch (thrown) {
      throw thrown === error ? this.exceptionFor(error, request) : thrown;
    }
  }

  private async useFor(request: LockRequest): Promise<LockUse> {
    const { settings, joins, purpose, gone } = request;
    if (this.phase === 'closed') throw new LockerClosedError();
    const key = await request.key();
    if (key === null) {
      reportBypass(this.locker, {});
      return this.use(undefined, false, request);
    }
    if (!isKey(key)) checkKeyAnswer(key, request.describe(), 'a call');
    const outer = lockAround(key);
    const outerPurpose = outer && purposes.get(outer);
    const same = outerPurpose !== undefined && joins(outerPurpose);
    const reentry = settings.lock.reentry ?? (same ? 'join' : undefined);
    const methods = same ? [...outerPurpose.methods, ...purpose.methods] : purpose.methods;
    const acquired = await this.lock(key, request, reentry);
    const joined = reentry === 'join' && outer !== undefined && outer.signal === acquired.signal;
    const lock = gone === undefined ? acquired : withSignal(acquired, gone);
    purposes.set(lock, { ...purpose, methods });
    return this.use(lock, joined, request);
  }

  private async lock(
    key: Key,
    { settings, control }: LockRequest,
    reentry: LockOptions['reentry'],
  ): Promise<Lock> {
    const defaultWait = settings.onLocked === 'throw' ? (this.settings.wait ?? DEFAULT_WAIT) : 0;
    const wait = this.phase === 'open' ? (settings.wait ?? defaultWait) : 0;
    const { signal } = control;
    this.waiting.add(control);
    return this.locker.lock(key, { ...settings.lock, wait, reentry, signal });
  }

  private use(
    lock: Lock | undefined,
    joined: boolean,
    { control, settings }: LockRequest,
  ): LockUse {
    const { throwIfLost = this.settings.throwIfLost } = settings.lock;
    const lockUse = new LockUse(lock, joined, control, this, throwIfLost);
    this.uses.add(lockUse);
    return lockUse;
  }

  private refuseWaiting(): void {
    for (const control of this.waiting) control.abort(new LockerClosedError());
  }

  private get isIdle(): boolean {
    return this.uses.size === 0 && this.waiting.size === 0;
  }

  private checkIdle(): void {
    if (this.isIdle) this.onIdle?.();
  }

  private async idle(timeout: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeout);
      this.onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.onIdle = undefined;
  }
}

/** Whether it is a runtime, of whichever copy of this package, and not a mock in its place. */
export function isRuntime(value: unknown): value is LockRuntime {
  return (
    typeof value === 'object' &&
    value !== null &&
    RUNTIME_BRAND in value &&
    value[RUNTIME_BRAND] === true
  );
}

/** What is wrong where {@link isRuntime} says no. */
export const MOCKED = 'got a mock for its locker, from useMocker() or overrideProvider().';

/** The lock of this key that the calling code runs under. */
function lockAround(key: Key): Lock | undefined {
  const first: unknown = Array.isArray(key) ? key[0] : key;
  return typeof first === 'string' ? currentLock(first) : undefined;
}
