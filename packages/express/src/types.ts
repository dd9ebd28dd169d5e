import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Key, Lock, Locker, LockNotAcquiredError, LockOptions } from '@holdfast/core';
import type { NextFunction, Request, Response } from 'express';

declare global {
  namespace Express {
    interface Request {
      /** The lock that `lockRoute` holds for this request, the innermost of several. */
      lock?: Lock | undefined;
    }
  }
}

/** A request whose route parameters are strings, as those of `/orders/:id` are. */
export type RouteRequest = Request<Record<string, string>>;

// Every request is one of these, whatever the types of its parts.
export type AnyRequest = Request<any, any, any, any, any>;
export type AnyResponse = Response<any, any>;

/** A value, or how to find it for a request; `undefined` for the default. */
export type PerRequest<T, Req = RouteRequest, Res = Response> =
  | T
  | ((req: Req, res: Res) => T | undefined | PromiseLike<T | undefined>);

/**
 * What a lock takes, each for all requests or by a function of `(req, res)`. `signal` is lockRoute's own,
 * and `onLost` is a function anyway.
 */
export type RouteLockOptions<Req = RouteRequest, Res = Response> = {
  [K in keyof LockOptions as Exclude<K, 'signal' | 'onLost' | 'throwIfLost'>]?:
    | PerRequest<NonNullable<LockOptions[K]>, Req, Res>
    | undefined;
};

/**
 * Options of {@link lockRoute}: its own, and those of a lock. All durations are in ms, but for
 * `retryAfter`.
 *
 * @typeParam K what the key function answers
 */
export interface LockRouteOptions<
  Req extends AnyRequest = RouteRequest,
  Res extends AnyResponse = Response,
  K extends Key | null = Key | null,
> extends RouteLockOptions<Req, Res> {
  /** Takes the locks. It is never closed here. */
  locker: Locker;
  /**
   * What to lock: one key, or several all or none. A function may answer `null` for a request that
   * needs no lock; if it answers nothing or an empty string, the request fails with the status 400. A
   * wildcard of Express 5, which is the list of its segments, reads as its path in a template string.
   */
  key: Key | ((req: Req, res: Res) => K | PromiseLike<K>);
  /** The lease, in ms. @default that of the locker */
  ttl?: PerRequest<number, Req, Res> | undefined;
  /** How long a request waits for the lock, in ms; 0 is a single attempt. @default 0 */
  wait?: PerRequest<number, Req, Res> | undefined;
  /**
   * The longest that the lock is held and renewed, in ms; `Infinity` for no bound.
   *
   * @default 300_000, or that of the locker if it is shorter
   */
  maxHold?: PerRequest<number, Req, Res> | undefined;
  /** Called when the lock is lost, never when it is released. @default undefined */
  onLost?: LockOptions['onLost'];
  /** The status of the answer when the lock is busy. @default 423 */
  statusCode?: number | undefined;
  /** The `Retry-After` of that answer, in seconds; rounded up. @default 1 */
  retryAfter?: number | undefined;
  /**
   * Answers when the lock is busy, instead of the default answer. Its `next()` lets the request pass
   * without the lock, which the locker tells with the event `bypassed`.
   *
   * @default undefined
   */
  onLocked?:
    | ((req: Req, res: Res, next: NextFunction, error: LockNotAcquiredError) => unknown)
    | undefined;
  /**
   * When the store fails: `'reject'` hands the error, which has the status 503, to the error handlers;
   * `'allow'` lets the request pass without the lock, and the locker emits `bypassed`.
   *
   * @default 'reject'
   */
  onStoreError?: 'reject' | 'allow' | undefined;
  /**
   * Whether a client that goes away aborts `req.lock.signal`. All else that its leaving means is the
   * same with `false`: its wait is cancelled, and in the middleware form renewal ends.
   *
   * @default true
   */
  abortOnDisconnect?: boolean | undefined;
  /**
   * The longest that the end of a response waits for the store to confirm the release, in ms.
   *
   * @default 1_000
   */
  releaseTimeout?: number | undefined;
}

/** {@link LockRouteOptions} with which the handler never runs without the lock. */
export interface StrictLockRouteOptions<
  Req extends AnyRequest = RouteRequest,
  Res extends AnyResponse = Response,
> extends LockRouteOptions<Req, Res, Key> {
  onLocked?: undefined;
  onStoreError?: 'reject' | undefined;
}

/**
 * What Express calls. The types are Node's, for then a route infers its parameters from its path.
 */
export type Middleware = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void;

/** A handler under the lock `L`. */
export type LockedHandler<
  Req extends AnyRequest,
  Res extends AnyResponse,
  L extends Lock | undefined,
> = (req: Req & { readonly lock: L }, res: Res, next: NextFunction) => unknown;

/** A middleware that holds a lock until the response is ended; see {@link lockRoute}. */
export interface LockRoute<
  Req extends AnyRequest = RouteRequest,
  Res extends AnyResponse = Response,
  L extends Lock | undefined = Lock,
> {
  (...args: Parameters<Middleware>): void;
  /**
   * Wraps a handler, to hold the lock until the promise of `fn` has settled **and** the response is
   * ended, renewed all the time. A rejection goes to the error handlers, also on Express 4. If `fn`
   * returns no promise, the end of its response is the end of its work.
   *
   * @example
   * ```ts
   * app.post('/orders/:id/ship', orderLock.handler(async (req, res) => {
   *   await ship(req.params.id, { signal: req.lock.signal, fence: req.lock.fencingToken });
   *   res.json({ ok: true });
   * }));
   * ```
   */
  readonly handler: <R extends AnyRequest = Req, S extends AnyResponse = Res>(
    fn: LockedHandler<R, S, L>,
  ) => Middleware;
}
