import type { Key } from './types.ts';
import { LockArgumentError } from './errors.ts';
import { isLongKey } from './options.ts';

/** For adapters: whether `Locker.lock()` takes a value for its key. */
export function isKey(value: unknown): value is Key {
  // Whatever stands in its place, a hole in a list is no key.
  const keys = Array.isArray(value) ? [...(value as unknown[])] : [value];
  return (
    keys.length > 0 && keys.every((one) => typeof one === 'string' && one !== '' && !isLongKey(one))
  );
}

/**
 * For adapters: refuses what a user's key function must not answer, before anything is locked.
 *
 * @param who the adapter's function that was given the key function
 * @param what needs no lock where the answer is `null`
 * @param hint for the user
 * @throws LockArgumentError
 * @example
 * ```ts
 * const key = checkKeyAnswer(await keyOf(job), 'guard', 'a job');
 * ```
 */
export function checkKeyAnswer(
  answer: unknown,
  who: string,
  what: string,
  hint?: string,
): Key | null {
  if (answer === null || isKey(answer)) return answer;
  const must =
    `${who}: the \`key\` function answered ${describe(answer)}. It must return a non-empty string, a ` +
    `list of them, or null for ${what} that needs no lock.`;
  throw new LockArgumentError(hint === undefined ? must : `${must} ${hint}`);
}

function describe(answer: unknown): string {
  if (Array.isArray(answer)) {
    const long = answer.some((one) => typeof one === 'string' && isLongKey(one));
    return long ? 'a list with a key of more than 64 kB' : 'a list without keys or with empty ones';
  }
  if (answer === '') return 'an empty string';
  if (typeof answer === 'string') return 'a string of more than 64 kB';
  return answer === undefined ? 'nothing' : `a ${typeof answer}`;
}
