import type { MaybePromise } from '../store.ts';

/**
 * For adapters: whether a value is a promise, of whatever make.
 *
 * @example
 * ```ts
 * if (isPromiseLike(result)) result.then(done, failed);
 * ```
 */
export function isPromiseLike<T>(value: MaybePromise<T>): value is PromiseLike<T>;
export function isPromiseLike(value: unknown): value is PromiseLike<unknown>;
export function isPromiseLike(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
