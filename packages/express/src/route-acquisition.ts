import {
  isPromiseLike,
  LockAbortedError,
  LockArgumentError,
  LockNotAcquiredError,
  LockReentryError,
  LockStoreError,
  reportBypass,
  reportWarning,
  type Key,
  type Lock,
} from '@holdfast/core';
import { answerLocked } from './answer-locked.ts';
import { clientLeft, HeldRoute } from './held-route.ts';
import { asBadRequest, lockRequestOf, type LockRequest } from './lock-request.ts';
import type { ResponseListener } from './response-life.ts';
import { runUnlocked, type RouteCall } from './route-call.ts';

const TWICE =
  'lockRoute: this request already holds this lock, taken by a lockRoute before this one, and would ' +
  "wait for itself. Mount one of the two, give them different keys, or pass `reentry: 'join'`.";
const TOO_LATE =
  'lockRoute: the response was ended before this middleware, so it cannot tell when its handler is ' +
  'done. Mount it before what answers, or wrap the handler: `lockRoute(…).handler(fn)`.';
const BODY_PENDING =
  'lockRoute: a request got its lock while its body was still arriving, so a slow client decides how ' +
  'long the lock is held. Mount the body parser before the lock.';

/** A request that asks for its lock, and what becomes of it. */
export class RouteAcquisition implements ResponseListener {
  private readonly asking = new AbortController();

  constructor(private readonly call: RouteCall) {}

  async run(): Promise<void> {
    const { call, asking } = this;
    const { life, handler, next, settings } = call;
    if (life.state === 'gone') return;
    if (life.state === 'ended' && handler === undefined) {
      next(new LockArgumentError(TOO_LATE));
      return;
    }
    // Before anything is awaited, for the client may leave at any time.
    life.follow(this);
    let request: LockRequest | null;
    try {
      // Most often all is known at once, and then the lock is asked for at once.
      const found = lockRequestOf(call);
      request = isPromiseLike<LockRequest | null>(found) ? await found : found;
      if (request !== null) this.checkReentry(request);
    } catch (error) {
      const reason = asBadRequest(settings, error);
      this.goOn(() => next(reason ?? new Error('The key function failed without a reason.')));
      return;
    }
    if (request === null) {
      this.goOn(() => runUnlocked(call));
      return;
    }
    const { key, options } = request;
    let lock: Lock;
    try {
      lock = await settings.locker.lock(key, { ...options, signal: asking.signal });
    } catch (error) {
      this.goOn(() => this.refused(key, error));
      return;
    }
    if (asking.signal.aborted) void lock.release();
    this.goOn(() => this.granted(lock));
  }

  /** Somebody else answers meanwhile, as a time-out does. */
  ended(): undefined {
    this.asking.abort(new LockAbortedError('The response was ended before the lock was acquired.'));
  }

  endedAgain(): void {}

  gone(): void {
    this.asking.abort(clientLeft());
  }

  /** With `wait: 0` the locker could only say that the lock is busy. */
  private checkReentry({ key, options }: LockRequest): void {
    const { life, settings } = this.call;
    if (life.locks.length === 0 || (options.reentry ?? 'reject') !== 'reject') return;
    const keys = new Set(typeof key === 'string' ? [key] : key);
    for (const { locker, lock } of life.locks) {
      if (locker !== settings.locker || lock.state !== 'held') continue;
      const twice = lock.keys.find((one) => keys.has(one));
      if (twice !== undefined) throw new LockReentryError({ key: twice, message: TWICE });
    }
  }

  private goOn(proceed: () => void): void {
    this.call.life.unfollow(this);
    // Otherwise nobody waits for an answer any more.
    if (!this.asking.signal.aborted) proceed();
  }

  private granted(lock: Lock): void {
    const { req, settings } = this.call;
    if (hasBody(req.headers) && !req.complete) {
      reportWarning(settings.locker, 'HOLDFAST_BODY_PENDING', BODY_PENDING);
    }
    new HeldRoute(this.call, lock, this.asking).start();
  }

  private refused(key: Key, error: unknown): void {
    const { settings, res, next } = this.call;
    if (error instanceof LockStoreError && settings.onStoreError === 'allow') {
      this.bypass(key, error);
    } else if (!(error instanceof LockNotAcquiredError)) {
      next(asBadRequest(settings, error));
    } else if (settings.onLocked !== undefined) {
      this.handOver(key, error);
    } else if (res.headersSent) {
      next(error);
    } else {
      answerLocked(res, settings);
    }
  }

  /** The lock is busy, and the user's own function answers. */
  private handOver(key: Key, error: LockNotAcquiredError): void {
    const { settings, req, res, next } = this.call;
    const pass = (reason?: unknown): void => {
      if (reason) next(reason);
      else this.bypass(key, error);
    };
    const failed = (reason: unknown): void => next(reason ?? new Error('`onLocked` failed.'));
    try {
      Promise.resolve(settings.onLocked?.(req, res, pass, error)).catch(failed);
    } catch (reason) {
      failed(reason);
    }
  }

  private bypass(key: Key, error: unknown): void {
    const keys = typeof key === 'string' ? [key] : key;
    reportBypass(this.call.settings.locker, { key: keys[0], keys, error });
    runUnlocked(this.call);
  }
}

function hasBody(headers: NodeJS.Dict<string | string[]>): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}
