import { isPromiseLike } from '@holdfast/core';
import type { AnyRequest, AnyResponse } from './types.ts';

/** Reads as the path it was: `a/b` for two segments, and `a%2Fb` for one that holds a slash. */
function joined(this: readonly string[]): string {
  return this.map((segment) => segment.replace(/[%/]/g, encodeURIComponent)).join('/');
}

/**
 * Calls a key function. Express 5 gives a wildcard as the list of its segments, and a list reads as
 * `a,b` in a key, which the path `a,b` does as well. Meanwhile such a list reads as the path it was.
 */
export function callWithWildcards<T>(
  asked: (req: AnyRequest, res: AnyResponse) => T,
  req: AnyRequest,
  res: AnyResponse,
): T | string | Promise<unknown> {
  const original = req.params as Record<string, unknown> | undefined;
  const params = original === undefined ? undefined : withPaths(original);
  if (params === undefined) return asked(req, res);
  const restore = (): void => {
    req.params = original;
  };
  const answered = (answer: unknown): unknown =>
    Array.isArray(answer) && Object.values(params).includes(answer) ? String(answer) : answer;
  req.params = params;
  let answer: T;
  try {
    answer = asked(req, res);
  } catch (error) {
    restore();
    throw error;
  }
  if (isPromiseLike<unknown>(answer))
    return Promise.resolve(answer).then(answered).finally(restore);
  restore();
  return answered(answer) as T;
}

/** A copy whose lists read as paths, if there are any lists. */
function withPaths(params: Record<string, unknown>): Record<string, unknown> | undefined {
  let copy: Record<string, unknown> | undefined;
  for (const name in params) {
    const value = params[name];
    if (!Array.isArray(value)) continue;
    copy ??= { ...params };
    copy[name] = Object.defineProperty([...(value as string[])], 'toString', { value: joined });
  }
  return copy;
}
