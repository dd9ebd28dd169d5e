// All of the package but the errors.

// For applications.
export type {
  CloseOptions,
  ForceReleaseOptions,
  HandoffOptions,
  Key,
  ListOptions,
  Lock,
  LockCallback,
  Locker,
  LockerOptions,
  LockHolder,
  LockInfo,
  LockOptions,
  LockPage,
  LockWaiter,
  Outcome,
  TryLockOptions,
} from './types.ts';
export { lock, setDefaultLocker, tryLock, tryWithLock, withLock } from './default-locker.ts';
export { elect, type Candidate, type ElectOptions, type Leadership } from './elect.ts';
export type {
  HeldLockEvent,
  LockEvent,
  LockEvents,
  LockKeyEvent,
  NotAcquiredReason,
} from './events.ts';
export { createLocker } from './locker.ts';
export { currentLock } from './scope.ts';
export { memoryStore, type MemoryStoreOptions } from './stores/memory.ts';

// For authors of adapters.
export { maxHoldOf, reportBypass, reportWarning } from './bypass.ts';
export { withSignal } from './hold/lock-views.ts';
export { checkKeyAnswer, isKey } from './key-answers.ts';
export { isUnderLock, releaseConfirmed, runWithLock, setRenewal } from './scope.ts';
export { isPromiseLike } from './util/promises.ts';

// For authors of stores.
export { systemClock, type Clock, type ClockTimer } from './util/time.ts';
export { driftOf } from './hold/lease-timing.ts';
export { storedKey, userKey } from './keys.ts';
export { checkOptions } from './option-names.ts';
export * from './store.ts';
