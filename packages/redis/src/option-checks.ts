import { LockArgumentError } from '@holdfast/core';

/** How long a key remembers its last fencing token after a grant, in ms, where nothing else is asked for. */
const DEFAULT_RETENTION = 88_200_000;
/** The longest that may be asked for, in ms. */
const DAY = 86_400_000;

/** ms. More is a mistake. */
const LONGEST = 60_000;

/**
 * A time-out of the user's, in whole ms.
 *
 * @throws LockArgumentError
 */
export function checkTimeout(name: string, timeout: unknown): number {
  if (typeof timeout !== 'number' || !(timeout > 0 && timeout <= LONGEST)) {
    throw new LockArgumentError(`\`${name}\` must be more than 0 and at most 60 000 ms.`);
  }
  return Math.ceil(timeout);
}

/**
 * Option `tokenRetention`, in whole ms.
 *
 * @throws LockArgumentError
 */
export function checkRetention(retention: unknown): number {
  if (retention === undefined) return DEFAULT_RETENTION;
  if (typeof retention !== 'number' || !(retention > 0 && retention <= DAY)) {
    throw new LockArgumentError(
      '`tokenRetention` must be more than 0 and at most 86 400 000 ms (24 h).',
    );
  }
  return retention === DAY ? DEFAULT_RETENTION : Math.ceil(retention);
}
