import { LockArgumentError, type LockNotAcquiredError } from '@holdfast/core';

/** What happens when a lock is busy. */
type OnLocked = 'throw' | 'skip' | ((error: LockNotAcquiredError) => unknown);

/** Options of `@WithLock`. Durations are in ms; what is absent comes from the locker. */
export interface WithLockOptions {
  /** The lease: how long a crashed process keeps others out. */
  ttl?: number | undefined;
  /**
   * The longest to wait for the lock. Default: the module's `wait`, else 10 000; 0 where `onLocked` is
   * not `'throw'`.
   */
  wait?: number | undefined;
  /** The longest to hold it: then its signal fires and the lease runs out. */
  maxHold?: number | undefined;
  /** From the grant: the lock is kept for so long, however soon the method is done. */
  holdAtLeast?: number | undefined;
  /** Which locker, as given to `LockModule`. Default `'default'`. */
  name?: string | undefined;
  /** What happens if the calling code runs under this very lock already. Default `'reject'`. */
  reentry?: 'reject' | 'join' | 'ignore' | undefined;
  /**
   * What happens when the lock is busy: `'throw'` a `LockNotAcquiredError` (default); `'skip'` the
   * method, whose promise resolves to `undefined` (an Observable or iterable has no values); or a
   * function whose value stands for the method's result. A failing store always throws.
   */
  onLocked?: OnLocked | undefined;
}

/** Options of `@UseLock`. */
export interface UseLockOptions extends WithLockOptions {
  /**
   * HTTP: whether the signal of the lock aborts, with a `LockAbortedError`, when the client goes away
   * while the handler runs. The lock is held for as long as the handler runs in any case. Default true.
   */
  abortOnDisconnect?: boolean | undefined;
}

/** @throws LockArgumentError for what can be told before the first call */
export function checkOptions<O extends WithLockOptions>(options: O | undefined): O {
  if (options === undefined) return {} as O;
  if (typeof options !== 'object' || options === null) {
    throw new LockArgumentError('The options of a lock must be an object.');
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === null) throw new LockArgumentError(`\`${name}\` must not be null.`);
  }
  const { onLocked = 'throw' } = options;
  if (onLocked !== 'throw' && onLocked !== 'skip' && typeof onLocked !== 'function') {
    throw new LockArgumentError("`onLocked` must be 'throw', 'skip' or a function.");
  }
  return options;
}

/** What to do with a busy lock: returns what stands for the result, or throws. */
export function reactionTo(
  onLocked: OnLocked | undefined,
): (error: LockNotAcquiredError) => unknown {
  if (typeof onLocked === 'function') return onLocked;
  if (onLocked === 'skip') return () => undefined;
  return (error) => {
    throw error;
  };
}
