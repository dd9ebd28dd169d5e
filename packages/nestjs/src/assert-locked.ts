import { currentLock, LockMissingError, type Lock } from '@holdfast/core';

/**
 * Returns the lock that the calling code runs under: for code that must not run without one.
 *
 * @param key that the lock must cover, if given
 * @throws LockMissingError if there is none
 * @example
 * ```ts
 * async charge(order: Order) {
 *   const { fencingToken } = assertLocked(`order:${order.id}`);
 * }
 * ```
 */
export function assertLocked(key?: string): Lock {
  const lock = currentLock(key);
  if (lock !== undefined) return lock;
  throw new LockMissingError(
    `This code must run under ${key === undefined ? 'a lock' : 'the lock of its key'}, and does not. ` +
      'Call it inside a method with @WithLock or @UseLock, or inside withLock().',
    { key },
  );
}
