import { isPromiseLike, type Lock } from '@holdfast/core';
import type { NextFunction } from 'express';
import type { Settings } from './options.ts';
import type { ResponseLife } from './response-life.ts';
import type { AnyRequest, AnyResponse, LockedHandler } from './types.ts';

/** A handler that `.handler` wraps. */
export type WrappedHandler = LockedHandler<AnyRequest, AnyResponse, Lock | undefined>;

/** One request at one `lockRoute`. */
export interface RouteCall {
  readonly settings: Settings;
  readonly req: AnyRequest;
  readonly res: AnyResponse;
  readonly next: NextFunction;
  readonly life: ResponseLife;
  /** Absent in the middleware form, whose work is whatever Express runs next. */
  readonly handler: WrappedHandler | undefined;
}

/**
 * Runs a wrapped handler. What it throws or rejects with goes to the error handlers, which Express 4
 * does not do for promises.
 *
 * @param settled called before that, and when its promise is fulfilled
 * @returns false if it has no promise, so that nobody can know when it is done
 */
export function runHandler(
  handler: WrappedHandler,
  { req, res, next }: RouteCall,
  settled: () => void,
): boolean {
  const failed = (error: unknown): void => {
    settled();
    next(error ?? new Error('The handler failed without a reason.'));
  };
  try {
    const result = handler(req as AnyRequest & { lock: Lock | undefined }, res, next);
    if (!isPromiseLike(result)) return false;
    Promise.resolve(result).then(settled, failed);
  } catch (error) {
    failed(error);
  }
  return true;
}

/** Lets a request in without a lock. */
export function runUnlocked(call: RouteCall): void {
  const { handler, req, next } = call;
  // That of an enclosing `lockRoute` is not what this one's handler asks for.
  req.lock = undefined;
  if (handler === undefined) next();
  else runHandler(handler, call, () => {});
}
