import { LockArgumentError } from '@holdfast/core';

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
