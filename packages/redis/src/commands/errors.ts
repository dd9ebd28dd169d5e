import { LockStoreError, type StorePhase } from '@holdfast/core';
import type { ClientPort } from '../connection/port.ts';
import { FOREIGN } from '../scripts/lua.ts';

const FOREIGN_DATA = new RegExp(`^WRONGTYPE|${FOREIGN}`);
const REFUSED = /\b(?:NOAUTH|WRONGPASS|NOPERM)\b/;

/** Whether a key of a lock holds data of somebody else. */
export function isForeign(error: unknown): boolean {
  return error instanceof Error && FOREIGN_DATA.test(error.message);
}

/** Whether the keys of one call were in several slots. */
export function isCrossSlot(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('CROSSSLOT');
}

/** Marks what trying again cannot heal; all else stays as it is. */
export function toStoreError(cause: unknown, client: ClientPort, phase: StorePhase): unknown {
  const permanent = (message: string): LockStoreError =>
    new LockStoreError(message, { phase, permanent: true, cause });
  if (client.state === 'closed') return permanent('The Redis client is closed.');
  if (isForeign(cause)) return permanent('A key of the lock holds data that is not of Holdfast.');
  if (cause instanceof Error && REFUSED.test(cause.message)) {
    return permanent('Redis refuses the credentials of the client.');
  }
  return cause;
}
