import { currentLock, LockMissingError, type Lock } from '@holdfast/core';

/**
 * The lock that the calling code runs under: for code that must not run without one, whoever calls it.
 *
 * @param key that the lock must cover, if given
 * @throws LockMissingError
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
  throw new LockMissingError('This code runs under no such lock.', { key });
}
