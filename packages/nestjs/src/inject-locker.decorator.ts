import { Inject } from '@nestjs/common';
import { getLockerToken } from './names.ts';

/**
 * Injects a locker, for locks that are taken by hand.
 *
 * @param name default `'default'`
 * @throws LockArgumentError
 * @example
 * ```ts
 * constructor(@InjectLocker() private readonly locker: Locker) {}
 * ```
 */
export function InjectLocker(name?: string): ParameterDecorator & PropertyDecorator {
  return Inject(getLockerToken(name));
}
