import { LockArgumentError, type Lock } from '@holdfast/core';
import type { NextFunction, Response } from 'express';
import { resolveOptions } from './options.ts';
import type { PathRequest } from './path-params.ts';
import { markRequests } from './request-flow.ts';
import { ResponseLife } from './response-life.ts';
import { RouteAcquisition } from './route-acquisition.ts';
import type { WrappedHandler } from './route-call.ts';
import type {
  AnyRequest,
  AnyResponse,
  LockRoute,
  LockRouteOptions,
  Middleware,
  RouteRequest,
  StrictLockRouteOptions,
} from './types.ts';

/**
 * Makes a middleware that lets one request per key at a time into a route, over all processes. It holds
 * the lock until the handler ends the response, whose end reaches the client when the lock is released;
 * `.handler(fn)` of it wraps a handler, and holds until that is done as well.
 *
 * @throws LockArgumentError
 * @example
 * ```ts
 * const orderLock = lockRoute({ locker, key: (req) => `order:${req.params.id}`, wait: 2_000 });
 * app.post('/orders/:id/pay', orderLock, pay);
 * app.post('/orders/:id/ship', orderLock.handler(ship));
 * ```
 */
export function lockRoute<
  Req extends AnyRequest = RouteRequest,
  Res extends AnyResponse = Response,
>(options: StrictLockRouteOptions<Req, Res>): LockRoute<Req, Res>;
/** With options that let a request pass without the lock: `req.lock` is then `Lock | undefined`. */
export function lockRoute<
  Req extends AnyRequest = RouteRequest,
  Res extends AnyResponse = Response,
>(options: LockRouteOptions<Req, Res>): LockRoute<Req, Res, Lock | undefined>;
/** With the parameters of a path: `lockRoute<'/orders/:id'>({ … })` knows `req.params.id`, and no other. */
export function lockRoute<Path extends string>(
  options: StrictLockRouteOptions<PathRequest<Path>>,
): LockRoute<PathRequest<Path>>;
/** Likewise, with options that let a request pass without the lock. */
export function lockRoute<Path extends string>(
  options: LockRouteOptions<PathRequest<Path>>,
): LockRoute<PathRequest<Path>, Response, Lock | undefined>;
export function lockRoute(
  options: LockRouteOptions<any, any>,
): LockRoute<AnyRequest, AnyResponse, any> {
  const settings = resolveOptions(options);
  markRequests();
  const middleware = (handler?: WrappedHandler): Middleware => {
    return (req, res, next) => {
      const life = ResponseLife.of(req, res);
      void new RouteAcquisition({
        settings,
        req: req as AnyRequest,
        res: res as AnyResponse,
        next: next as NextFunction,
        life,
        handler,
      }).run();
    };
  };
  const handler = (fn: WrappedHandler): Middleware => {
    if (typeof fn === 'function') return middleware(fn);
    throw new LockArgumentError('lockRoute: `.handler(fn)` takes the handler to run.');
  };
  return Object.assign(middleware(), { handler }) as LockRoute<AnyRequest, AnyResponse, any>;
}
