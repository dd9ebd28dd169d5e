import type { HeldLockEvent } from '@holdfast/core';

/** Tells the locks that are held apart: one owner may hold several keys, and take one over from itself. */
export function identityOf({ locker, store, owner, fencingToken, keys }: HeldLockEvent): string {
  return JSON.stringify([locker, store, owner, fencingToken, keys]);
}
