// What is published has a file for each of the two, see `tsup.config.ts`.
export {
  LockAbortedError,
  LockArgumentError,
  LockConflictError,
  LockerClosedError,
  LockError,
  LockLostError,
  LockMissingError,
  LockNotAcquiredError,
  LockQueueFullError,
  LockReentryError,
  LockReleasedError,
  LockStoreError,
  type LockErrorOptions,
  type LossReason,
  type StorePhase,
} from './errors.ts';
export * from './engine.ts';
