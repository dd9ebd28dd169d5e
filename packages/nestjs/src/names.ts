import { LockArgumentError } from '@holdfast/core';

/** The name of the locker where none is given. */
export const DEFAULT_NAME = 'default';

/** @throws LockArgumentError */
export function checkName(name: unknown): string {
  if (name === undefined) return DEFAULT_NAME;
  if (typeof name === 'string' && name !== '') return name;
  throw new LockArgumentError('The `name` of a locker must be a non-empty string.');
}

/** How to import the module that provides a locker; Nest's own errors show it. */
export function importOf(name: string): string {
  return name === DEFAULT_NAME ? 'LockModule.forRoot()' : `LockModule.forRoot({ name: '${name}' })`;
}

/**
 * The injection token of a locker, the same in the ESM and the CommonJS copy of this package.
 *
 * @param name default `'default'`
 * @throws LockArgumentError
 * @example
 * ```ts
 * const module = await Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(getLockerToken())
 *   .useValue(createLocker())
 *   .compile();
 * ```
 */
export function getLockerToken(name?: string): symbol {
  return Symbol.for(`@holdfast/nestjs: the locker of ${importOf(checkName(name))}`);
}

/** The token of what the decorators and the interceptor need of the module. */
export function runtimeToken(name: string): symbol {
  return Symbol.for(`@holdfast/nestjs: the locks of ${importOf(name)}`);
}

/** The property of an instance with `@WithLock` under which it has that. */
export function runtimeProperty(name: string): symbol {
  return Symbol.for(`the lock of @WithLock: import ${importOf(name)}`);
}

/** The token of a module's own runtime, whichever name its locker has. */
export const MODULE_RUNTIME = Symbol('@holdfast/nestjs: what LockModule.forRoot() provides');

/** State of the process that the ESM and the CommonJS copy of this package have in common. */
export function shared<T>(name: string, make: () => T): T {
  const holder = globalThis as unknown as Record<symbol, T | undefined>;
  return (holder[Symbol.for(`@holdfast/nestjs:${name}`)] ??= make());
}
