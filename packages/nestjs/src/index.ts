import 'reflect-metadata';

export { currentLock } from '@holdfast/core';
export { assertLocked } from './assert-locked.ts';
export { InjectLocker } from './inject-locker.decorator.ts';
export type {
  LockModuleAsyncOptions,
  LockModuleIdentity,
  LockModuleOptions,
  LockModuleSettings,
  LockOptionsFactory,
  ShortLockOptionsFactory,
} from './lock-module.options.ts';
export { LockHttpException, type HttpAnswerOptions } from './lock-http.exception.ts';
export { LockInterceptor } from './lock.interceptor.ts';
export { LockModule } from './lock.module.ts';
export { getLockerToken } from './names.ts';
export type { OnBusy, UseLockOptions, WithLockOptions } from './options.ts';
export { provideLocker } from './provide-locker.ts';
export { UseLock, type ContextKeyFunction } from './use-lock.decorator.ts';
export { WithLock } from './with-lock.decorator.ts';
export type {
  KeyMismatch,
  LockableResult,
  LockKeyFunction,
  OnLockedMismatch,
  ResultMismatch,
  SkipMismatch,
  WithLockDecorator,
} from './with-lock.types.ts';
