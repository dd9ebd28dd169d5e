import type { HeldLockEvent } from '@holdfast/core';

/**
 * Tells the locks that are held apart: one owner may hold several keys, and take one over from itself. Where
 * there is no fencing token (of a list of keys, on a quorum), both have the same identity until the older
 * one is told that it is lost.
 */
export function identityOf({ locker, store, owner, fencingToken, keys }: HeldLockEvent): string {
  return JSON.stringify([locker, store, owner, fencingToken, keys]);
}
