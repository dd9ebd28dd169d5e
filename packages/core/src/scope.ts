import { AsyncLocalStorage } from 'node:async_hooks';
import type { Lock } from './types.ts';
import { internalsOf } from './hold/handle.ts';
import type { LockSettings } from './options.ts';
import type { Sharing } from './store.ts';
import { shared } from './util/process-state.ts';
import { isPromiseLike } from './util/promises.ts';

/** A lock under which code runs, and the one around it. */
interface Scope {
  readonly lock: Lock;
  readonly outer: Scope | undefined;
}

const scopes = shared('scopes', () => new AsyncLocalStorage<Scope>());

/**
 * The lock of the innermost `withLock` (or adapter) that the calling code runs in, of those that
 * cover `key` if one is given; a lost lock too, so that it can be asked for its signal, but not one
 * that is released already.
 *
 * @example
 * ```ts
 * await charge({ signal: currentLock()?.signal });
 * ```
 */
export function currentLock(key?: string): Lock | undefined {
  for (let scope = scopes.getStore(); scope !== undefined; scope = scope.outer) {
    const { lock } = scope;
    if (lock.state !== 'released' && (key === undefined || lock.keys.includes(key))) return lock;
  }
  return undefined;
}

/**
 * For adapters: runs `work` in the async context of a lock, as `withLock` does. While it runs, and
 * until the promise that it returns has settled, closing the locker does not take the lock away.
 * Releasing is the caller's.
 *
 * @example
 * ```ts
 * const lock = await locker.lock(key);
 * try {
 *   return await runWithLock(lock, () => handler(request));
 * } finally {
 *   await lock.release();
 * }
 * ```
 */
export function runWithLock<T>(lock: Lock, work: () => T): T {
  const internals = internalsOf(lock);
  if (internals === undefined || internals.running) return inScope(lock, work);
  const leave = (): void => {
    internals.running = false;
  };
  internals.running = true;
  let result: T;
  try {
    result = inScope(lock, work);
  } catch (error) {
    leave();
    throw error;
  }
  if (isPromiseLike<unknown>(result)) result.then(leave, leave);
  else leave();
  return result;
}

/**
 * For adapters: ends the renewal of a lock while nothing runs under it, so that its ttl frees it if
 * nothing ever does, or begins the renewal again. Nothing else changes: the lock is held until it is
 * released or its lease ends. Of no effect on a lock that is not held, or whose caller has aborted it.
 *
 * @example
 * ```ts
 * setRenewal(lock, false);
 * stream.once('resume', () => setRenewal(lock, true));
 * ```
 */
export function setRenewal(lock: Lock, on: boolean): void {
  internalsOf(lock)?.renewing(on);
}

/**
 * For adapters: resolves when the store has confirmed the release of a lock, or can no longer hold it.
 * `release()` itself answers within a second, and goes on in the background.
 *
 * @example
 * ```ts
 * if (!(await lock.release())) await releaseConfirmed(lock);
 * ```
 */
export async function releaseConfirmed(lock: Lock): Promise<void> {
  await internalsOf(lock)?.confirmed();
}

export function inScope<T>(lock: Lock, work: (lock: Lock) => T): T {
  return scopes.run({ lock, outer: scopes.getStore() }, work, lock);
}

/**
 * For adapters: whether the calling code runs in the async context of this very lock, whatever has become
 * of it since.
 *
 * @example
 * ```ts
 * if (isUnderLock(lock)) await lock.release();
 * ```
 */
export function isUnderLock(lock: Lock): boolean {
  for (let scope = scopes.getStore(); scope !== undefined; scope = scope.outer) {
    if (scope.lock === lock) return true;
  }
  return false;
}

/** Whether the calling code runs under any lock at all. */
export function isInScope(): boolean {
  return scopes.getStore() !== undefined;
}

/** One key of an acquisition. */
export interface Wanted {
  readonly stored: string;
  readonly settings: LockSettings;
}

/** A held lock around the calling code that shares a key with an acquisition. */
export interface Enclosing {
  readonly lock: Lock;
  /** Whether it covers all that is asked for. */
  readonly serves: boolean;
  /** The limits that cannot both be, or are the same where a reader wants the key alone. */
  readonly conflict: { readonly limit: number; readonly currentLimit: number } | undefined;
}

/** The held locks around the calling code that are on `store` and share a key with those wanted. */
export function enclosingLocks(store: object, wanted: readonly Wanted[]): Enclosing[] | undefined {
  let scope = scopes.getStore();
  if (scope === undefined) return undefined;
  const enclosing: Enclosing[] = [];
  for (; scope !== undefined; scope = scope.outer) {
    const { lock } = scope;
    const internals = internalsOf(lock);
    if (internals?.store !== store || lock.state !== 'held') continue;
    const common = wanted.filter(({ stored }) => internals.storedKeys.includes(stored));
    if (common.length === 0) continue;
    const conflict = common
      .map(({ stored, settings }) => conflictOf(internals.sharingOf(stored), settings.sharing))
      .find((one) => one !== undefined);
    const serves =
      conflict === undefined &&
      common.length === wanted.length &&
      common.every(({ stored, settings }) => {
        const { weight = 1 } = internals.sharingOf(stored) ?? {};
        return (settings.sharing?.weight ?? 1) <= weight;
      });
    enclosing.push({ lock, serves, conflict });
  }
  return enclosing.length === 0 ? undefined : enclosing;
}

function conflictOf(outer: Sharing | undefined, inner: Sharing | undefined): Enclosing['conflict'] {
  const currentLimit = outer?.limit ?? 1;
  const limit = inner?.limit ?? 1;
  const upgrade = outer?.shared === true && inner?.shared !== true;
  return limit !== currentLimit || upgrade ? { limit, currentLimit } : undefined;
}
