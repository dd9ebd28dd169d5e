import { LockArgumentError, type LockNotAcquiredError, type LockOptions } from '@holdfast/core';
import type { HttpAnswerOptions } from './lock-http.exception.ts';
import { checkName } from './names.ts';

/** The reactions to a busy lock that have a name. */
export type OnBusy = 'throw' | 'skip';

/** Any reaction to a busy lock. */
export type OnLocked = OnBusy | ((error: LockNotAcquiredError) => unknown);

/**
 * Options of `@WithLock`: those of `Locker.lock()`, and what happens when the lock is busy. Durations are in
 * ms; what is absent comes from the locker.
 *
 * @example
 * ```ts
 * @WithLock('nightly-report', { onLocked: 'skip', holdAtLeast: 5_000 })
 * ```
 */
export interface WithLockOptions<B extends OnBusy = OnBusy, R = unknown>
  extends Omit<LockOptions, 'owner' | 'renew' | 'signal' | 'wait'>, HttpAnswerOptions {
  /**
   * The longest to wait for the lock.
   *
   * @default the module's `wait`, else 10 000; 0 where `onLocked` is not `'throw'`
   */
  wait?: number | undefined;
  /**
   * Which locker, as given to `LockModule`.
   *
   * @default 'default'
   */
  name?: string | undefined;
  /**
   * Whether the call fails with the `LockLostError` when the method succeeds although its lock was lost
   * meanwhile. `error.value` is what the method returned.
   *
   * @default the locker's, where `LockModule` makes it, else false
   */
  throwIfLost?: boolean | undefined;
  /**
   * What happens when the lock is busy: `'throw'` throws; `'skip'` does not run the method, whose promise
   * resolves to `undefined` (an Observable or iterable has no values); the value of a function stands for the
   * method's result. An unavailable store always throws.
   *
   * @default 'throw'
   */
  onLocked?: B | ((error: LockNotAcquiredError) => R) | undefined;
}

/** Options of `@UseLock`. */
export interface UseLockOptions extends WithLockOptions {
  /**
   * HTTP: whether the signal of the lock aborts, with a `LockAbortedError`, when the client goes away while
   * the handler runs. The lock is held for as long as the handler runs in any case.
   *
   * @default true
   */
  abortOnDisconnect?: boolean | undefined;
}

/** Options of a decorator, checked and sorted by who needs them. */
export interface LockSettings {
  readonly name: string;
  /** For `Locker.lock()`. */
  readonly lock: Omit<LockOptions, 'wait'> & Pick<WithLockOptions, 'throwIfLost'>;
  readonly wait: number | undefined;
  readonly onLocked: OnLocked;
  readonly answer: HttpAnswerOptions;
  readonly abortOnDisconnect: boolean;
}

const settings = new WeakMap<object, LockSettings>();
const DEFAULTS = {};

/** @throws LockArgumentError for what can be told before the first call */
export function settingsOf(options: UseLockOptions = DEFAULTS): LockSettings {
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw new LockArgumentError('The options of a lock must be an object.');
  }
  const known = settings.get(options);
  if (known !== undefined) return known;
  for (const [name, value] of Object.entries(options)) {
    if (value === null) throw new LockArgumentError(`\`${name}\` must not be null.`);
  }
  const { name, wait, onLocked = 'throw', statusCode, retryAfter, ...rest } = options;
  const { abortOnDisconnect = true, ...lock } = rest;
  checkBoolean('abortOnDisconnect', abortOnDisconnect);
  checkBoolean('throwIfLost', lock.throwIfLost ?? false);
  if (onLocked !== 'throw' && onLocked !== 'skip' && typeof onLocked !== 'function') {
    throw new LockArgumentError("`onLocked` must be 'throw', 'skip' or a function.");
  }
  const answer = checkAnswer({ statusCode, retryAfter });
  const made = { name: checkName(name), lock, wait, onLocked, answer, abortOnDisconnect };
  settings.set(options, made);
  return made;
}

/** @throws LockArgumentError */
export function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw new LockArgumentError(`\`${name}\` must be a boolean.`);
}

/** @throws LockArgumentError */
export function checkAnswer(answer: HttpAnswerOptions): HttpAnswerOptions {
  const { statusCode = 423, retryAfter = 1 } = answer;
  if (!Number.isInteger(statusCode) || statusCode < 400 || statusCode > 599) {
    throw new LockArgumentError('`statusCode` must be a whole number from 400 to 599.');
  }
  if (typeof retryAfter !== 'number' || !(retryAfter > 0) || !Number.isFinite(retryAfter)) {
    throw new LockArgumentError('`retryAfter` must be a number of seconds above 0.');
  }
  return answer;
}

/** What to do with a busy lock: returns what stands for the result, or throws. */
export function reactionTo(onLocked: OnLocked): (error: LockNotAcquiredError) => unknown {
  if (typeof onLocked === 'function') return onLocked;
  if (onLocked === 'skip') return () => undefined;
  return (error) => {
    throw error;
  };
}
