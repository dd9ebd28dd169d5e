import type { LockError, Locker, LockerOptions } from '@holdfast/core';
import type { ExecutionContext, ModuleMetadata, Type } from '@nestjs/common';
import type { HttpAnswerOptions } from './lock-http.exception.ts';

/** Options of a `LockModule`, whichever locker it has. Durations are in ms. */
export interface LockModuleSettings extends HttpAnswerOptions {
  /**
   * False: `@WithLock`, `@UseLock` and `@InjectLocker` get a private locker on a memory store of its
   * own, for tests and tools; no other store is asked.
   *
   * @default true
   */
  enabled?: boolean | undefined;
  /**
   * Makes what is thrown in place of a lock's error, for example a `WsException`. Where it returns
   * `undefined`, an HTTP request gets a `LockHttpException` and everything else the error itself.
   *
   * @param context of the handler that the lock was taken in; a scheduled job has none
   * @default none
   */
  exceptionFactory?: ((error: LockError, context?: ExecutionContext) => unknown) | undefined;
  /**
   * How long the shutdown of the application waits for locks that are held.
   *
   * @default 10 000
   */
  shutdownTimeout?: number | undefined;
  /**
   * Whether a shutdown also serves the calls that wait for a lock, within `shutdownTimeout`, instead of
   * rejecting them with `LockerClosedError` at once.
   *
   * @default false
   */
  serveWaiting?: boolean | undefined;
}

type OwnLockerOptions = Omit<LockerOptions, 'name'>;

/**
 * Options of a `LockModule`: of the locker that it makes, and closes with the application, or a `locker`,
 * which stays its owner's.
 */
export type LockModuleOptions = LockModuleSettings &
  (
    | ({ locker: Locker } & { [K in keyof OwnLockerOptions]?: undefined })
    | ({ locker?: undefined } & OwnLockerOptions)
  );

/** Which locker of an application it is, and which modules see it. */
export interface LockModuleIdentity {
  /**
   * For `@InjectLocker(name)` and the option `name` of the decorators.
   *
   * @default 'default'
   */
  name?: string | undefined;
  /**
   * Whether all modules see it without importing it. An application has one global locker of each name.
   *
   * @default true
   */
  isGlobal?: boolean | undefined;
}

/** A provider that makes the options: for `useClass` and `useExisting`. */
export interface LockOptionsFactory {
  createLockOptions(): LockModuleOptions | Promise<LockModuleOptions>;
}

/** The same, by the name that Nest's `ConfigurableModuleBuilder` has for it. */
export interface ShortLockOptionsFactory {
  create(): LockModuleOptions | Promise<LockModuleOptions>;
}

/** Options of `LockModule.forRootAsync()`: one of `useFactory`, `useClass` and `useExisting`. */
export interface LockModuleAsyncOptions
  extends LockModuleIdentity, Pick<ModuleMetadata, 'imports'> {
  /** What {@link useFactory} gets. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as Nest declares it
  inject?: any[] | undefined;
  // oxlint-disable-next-line typescript/no-explicit-any -- as Nest declares it
  useFactory?: ((...args: any[]) => LockModuleOptions | Promise<LockModuleOptions>) | undefined;
  useClass?: Type<LockOptionsFactory | ShortLockOptionsFactory> | undefined;
  useExisting?: Type<LockOptionsFactory | ShortLockOptionsFactory> | string | symbol | undefined;
}
