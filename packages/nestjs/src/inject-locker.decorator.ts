import { Inject } from '@nestjs/common';
import { getLockerToken } from './names.ts';

/**
 * Injects a locker, for locks that are taken by hand.
 *
 * @param name of the locker. Default: `'default'`
 * @throws LockArgumentError for a name that is no non-empty string
 * @example
 * ```ts
 * import type { Locker } from '@holdfast/core'; // with `import type`, or TS1272
 *
 * constructor(@InjectLocker() private readonly locker: Locker) {}
 * ```
 */
export function InjectLocker(name?: string): ParameterDecorator & PropertyDecorator {
  return Inject(getLockerToken(name));
}
