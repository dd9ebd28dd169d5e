import type {
  Key,
  Lock,
  LockCallback,
  Locker,
  LockOptions,
  Outcome,
  TryLockOptions,
} from './types.ts';
import { LockArgumentError } from './errors.ts';
import { createLocker } from './locker.ts';
import { shared } from './util/process-state.ts';

interface Slot {
  source: Locker | (() => Locker) | undefined;
  /** Made on first use. */
  locker: Locker | undefined;
  warned: boolean;
}

const slot = shared<Slot>('default-locker', () => ({
  source: undefined,
  locker: undefined,
  warned: false,
}));

/**
 * Sets the locker of {@link lock}, {@link tryLock}, {@link withLock} and {@link tryWithLock}, or how
 * to make it on first use. `undefined` resets it.
 *
 * @throws LockArgumentError once it has been used: some locks would be here and some there
 * @example
 * ```ts
 * setDefaultLocker(() => createLocker({ store: redisStore(redis) }));
 * ```
 */
export function setDefaultLocker(locker: Locker | (() => Locker) | undefined): void {
  if (locker !== undefined && slot.locker !== undefined) {
    throw new LockArgumentError(
      'The default locker is in use already: set it before its first use.',
    );
  }
  if (locker !== undefined && typeof locker !== 'function') checkLocker(locker);
  slot.source = locker;
  slot.locker = undefined;
}

function defaultLocker(): Locker {
  if (slot.locker !== undefined) return slot.locker;
  const { source } = slot;
  if (source === undefined && !slot.warned) {
    slot.warned = true;
    process.emitWarning(
      'No default locker was set: locks exclude within this process only. Call setDefaultLocker().',
      { type: 'HoldfastWarning', code: 'HOLDFAST_DEFAULT_MEMORY' },
    );
  }
  slot.locker = typeof source === 'function' ? checkLocker(source()) : (source ?? createLocker());
  return slot.locker;
}

/** @throws LockArgumentError */
function checkLocker(locker: unknown): Locker {
  if (typeof (locker as Locker | null | undefined)?.lock === 'function') return locker as Locker;
  throw new LockArgumentError('The default locker must be a locker or a function that makes one.');
}

/** {@link Locker.lock} of the default locker. */
export async function lock(key: Key, options?: LockOptions): Promise<Lock> {
  return defaultLocker().lock(key, options);
}

/** {@link Locker.tryLock} of the default locker. */
export async function tryLock(key: Key, options?: TryLockOptions): Promise<Lock | null> {
  return defaultLocker().tryLock(key, options);
}

/** {@link Locker.withLock} of the default locker. */
export function withLock<T>(key: Key, work: LockCallback<T>): Promise<T>;
export function withLock<T>(
  key: Key,
  options: LockOptions | undefined,
  work: LockCallback<T>,
): Promise<T>;
export async function withLock<T>(
  key: Key,
  ...rest: [LockCallback<T>] | [LockOptions | undefined, LockCallback<T>]
): Promise<T> {
  return defaultLocker().withLock(key, ...(rest as [LockOptions | undefined, LockCallback<T>]));
}

/** {@link Locker.tryWithLock} of the default locker. */
export function tryWithLock<T>(key: Key, work: LockCallback<T>): Promise<Outcome<T>>;
export function tryWithLock<T>(
  key: Key,
  options: TryLockOptions | undefined,
  work: LockCallback<T>,
): Promise<Outcome<T>>;
export async function tryWithLock<T>(
  key: Key,
  ...rest: [LockCallback<T>] | [TryLockOptions | undefined, LockCallback<T>]
): Promise<Outcome<T>> {
  return defaultLocker().tryWithLock(
    key,
    ...(rest as [TryLockOptions | undefined, LockCallback<T>]),
  );
}
