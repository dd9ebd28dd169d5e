import { LockArgumentError, type LockerOptions } from '@holdfast/core';
import { checkAnswer, checkBoolean } from './options.ts';
import type { LockModuleOptions } from './lock-module.options.ts';

/** Options of the module itself, which may stand beside a `locker`. */
const SETTINGS = new Set([
  'locker',
  'enabled',
  'exceptionFactory',
  'shutdownTimeout',
  'serveWaiting',
  'statusCode',
  'retryAfter',
  'name',
  'isGlobal',
]);

/**
 * Checks all options but those of a locker that the module makes, which `createLocker()` checks.
 *
 * @throws LockArgumentError
 */
export function checkModuleOptions<O extends LockModuleOptions>(options: O): O {
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw new LockArgumentError('The options of LockModule must be an object.');
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === null) throw new LockArgumentError(`\`${name}\` must not be null.`);
  }
  const { enabled = true, exceptionFactory, locker, shutdownTimeout = 0 } = options;
  // Something that is merely falsy must not take the locks of a service away.
  checkBoolean('enabled', enabled);
  checkBoolean('serveWaiting', options.serveWaiting ?? false);
  checkAnswer(options);
  if (exceptionFactory !== undefined && typeof exceptionFactory !== 'function') {
    throw new LockArgumentError('`exceptionFactory` must be a function.');
  }
  if (typeof shutdownTimeout !== 'number' || !(shutdownTimeout >= 0)) {
    throw new LockArgumentError('`shutdownTimeout` must be a number of milliseconds.');
  }
  if (locker !== undefined) checkLocker(locker, options, enabled);
  return options;
}

/** Those of a module's options that are for the locker that it makes. */
export function lockerOptionsIn(options: LockModuleOptions): LockerOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !SETTINGS.has(name)));
}

function checkLocker(locker: unknown, options: object, enabled: boolean): void {
  if (typeof (locker as { lock?: unknown }).lock !== 'function') {
    throw new LockArgumentError('`locker` must be a locker, as `createLocker()` makes it.');
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const [extra] = given.find(([name]) => !SETTINGS.has(name)) ?? [];
  if (extra === undefined || !enabled) return;
  throw new LockArgumentError(
    `\`${extra}\` is an option of the locker that LockModule makes: pass it to \`createLocker()\` instead, ` +
      'which made yours.',
  );
}
