import { AsyncLocalStorage } from 'node:async_hooks';
import type { Lock } from './types.ts';
import { internalsOf } from './hold/handle.ts';
import { shared } from './util/process-state.ts';
import { isPromiseLike } from './util/store-calls.ts';

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

/** The held locks around the calling code that are on `store` and share a key with `storedKeys`. */
export function enclosingLocks(store: object, storedKeys: readonly string[]): Lock[] | undefined {
  let scope = scopes.getStore();
  if (scope === undefined) return undefined;
  const enclosing: Lock[] = [];
  for (; scope !== undefined; scope = scope.outer) {
    const internals = internalsOf(scope.lock);
    if (internals?.store !== store || scope.lock.state !== 'held') continue;
    if (internals.storedKeys.some((key) => storedKeys.includes(key))) enclosing.push(scope.lock);
  }
  return enclosing.length === 0 ? undefined : enclosing;
}

/** Whether a lock covers all of these keys. */
export function covers(lock: Lock, storedKeys: readonly string[]): boolean {
  const own = internalsOf(lock)?.storedKeys ?? [];
  return storedKeys.every((key) => own.includes(key));
}
