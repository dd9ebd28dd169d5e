import type { LockError, Locker, LockerOptions } from '@holdfast/core';
import type { ExecutionContext, ModuleMetadata, Type } from '@nestjs/common';

/** Options of a `LockModule`, whichever locker it has. Durations are in ms. */
export interface LockModuleSettings {
  /**
   * False: `@WithLock`, `@UseLock` and `@InjectLocker` get a private locker on a memory store of its
   * own, for tests and tools; nothing else is asked. Default true.
   */
  enabled?: boolean | undefined;
  /**
   * What is thrown in place of a lock's error, for example a `WsException`; `undefined` for the error
   * itself.
   *
   * @param context of `@UseLock`; a method with `@WithLock` has none
   */
  exceptionFactory?: ((error: LockError, context?: ExecutionContext) => unknown) | undefined;
  /** How long the shutdown of the application waits for locks that are held. Default 10 000. */
  shutdownTimeout?: number | undefined;
}

type Own = Omit<LockerOptions, 'name'>;

/**
 * Options of a `LockModule`: of the locker that it makes, and closes with the application, or a `locker`,
 * which stays its owner's.
 */
export type LockModuleOptions = LockModuleSettings &
  (({ locker: Locker } & { [K in keyof Own]?: undefined }) | ({ locker?: undefined } & Own));

/** Which locker of an application it is, and who sees it. */
export interface LockModuleIdentity {
  /** Default `'default'`; see `@InjectLocker(name)` and the option `name` of the decorators. */
  name?: string | undefined;
  /** Whether all modules see it without importing it. Default true. */
  isGlobal?: boolean | undefined;
}

/** A provider that makes the options, for `useClass` and `useExisting`. */
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
