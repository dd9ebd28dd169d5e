import { createLocker, LockArgumentError, type Locker } from '@holdfast/core';
import { connectRuntime, lockersOf } from './injection.ts';
import { LockExceptions } from './lock-exceptions.ts';
import { LockRuntime } from './runtime.ts';

/**
 * Gives an instance that Nest did not make the locker that its methods with `@WithLock` need: for unit tests
 * without a module.
 *
 * @param instance of a class that has methods with `@WithLock`
 * @param locker for all of them, whatever the `name` they ask for; never closed here. Default: one on a memory
 * store of its own
 * @returns the instance
 * @throws LockArgumentError
 * @example
 * ```ts
 * const service = provideLocker(new OrderService(bankMock));
 * await service.pay('42', dto);
 * ```
 */
export function provideLocker<T extends object>(instance: T, locker: Locker = createLocker()): T {
  const names = lockersOf(instance);
  if (names.length === 0) {
    throw new LockArgumentError(
      `${instance.constructor.name} has no method with @WithLock, and so needs no locker.`,
    );
  }
  const runtime = new LockRuntime(locker, new LockExceptions({}), {
    wait: undefined,
    throwIfLost: false,
    shutdownTimeout: 0,
    serveWaiting: false,
    own: false,
  });
  for (const name of names) connectRuntime(instance, name, runtime);
  return instance;
}
