import type { Lock } from '../types.ts';
import type { MaybePromise, Sharing } from '../store.ts';

/** Leads from a handle to its internals, also between the ESM and CommonJS copies of this package. */
export const HANDLE = Symbol.for('holdfast.handle');

/** What the engine and the async context need of a handle. */
export interface HandleInternals {
  /** Of the locker: the same object means the same locks. */
  readonly store: object;
  readonly storedKeys: readonly string[];
  /** Whether the holder has a permit for this one of the keys, and which. */
  sharingOf(stored: string): Sharing | undefined;
  /** How it has ended, if it has. */
  readonly ended: object | undefined;
  /** Whether a callback runs under the lock, which then keeps it when its locker is closed. */
  running: boolean;
  /** What was handed out to one who takes the lock by hand, until it is watched whether it is dropped. */
  handed: Lock | undefined;
  /** Nobody has the handle any more. */
  dropped(): void;
  /** Ends the renewal, or begins it again. */
  renewing(on: boolean): void;
  /** Resolves when nothing of a release is under way any more. */
  confirmed(): Promise<unknown>;
  /** As `release()`, without a promise where none is needed. */
  end(): MaybePromise<boolean>;
}

export function internalsOf(lock: Lock): HandleInternals | undefined {
  return (lock as { [HANDLE]?: HandleInternals })[HANDLE];
}
