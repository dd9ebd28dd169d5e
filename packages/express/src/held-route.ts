import {
  LockAbortedError,
  releaseConfirmed,
  reportWarning,
  runWithLock,
  setRenewal,
  withSignal,
  type Lock,
} from '@holdfast/core';
import { isBesideWork, isWorkUnder } from './request-flow.ts';
import type { ResponseListener } from './response-life.ts';
import { runHandler, type RouteCall } from './route-call.ts';

/** Read once, because the fake timers of test runners replace it. */
const afterTurn = setImmediate;

/** ms after which `release()` answers, confirmed or not. */
const RELEASE_LIMIT = 1_000;

const ENDED_BESIDE =
  'lockRoute: a response was ended while its handler may still run, by code that its request had ' +
  'started before the lock or by a time-out. The lock stays held until the handler ends the response ' +
  'too, at most for its ttl. With time-outs wrap the handler: `lockRoute(…).handler(fn)`.';

/**
 * A route that holds the lock of a request, and releases it when both the work and the response are done.
 *
 * When the work is done is exactly known only of a handler with a promise. Other work is said to be done
 * when it ends the response. If its client goes away first, or somebody else ends the response, the work
 * may still run: so the lock is not released, but no longer renewed either, for the end may never come.
 */
export class HeldRoute implements ResponseListener {
  /** Whether the work has a promise. */
  private exact: boolean;
  /** Whether the work is done, as far as its promise can tell. */
  private settled: boolean;
  /** Whether the work destroyed the connection before its promise could tell anything. */
  private destroyedEarly = false;
  private released: Promise<void> | undefined;
  /** Fires the signal that an exact handler sees, and leaves renewal alone. */
  private readonly leaving: AbortController | undefined;
  /** The lock as the work sees it. */
  private readonly seen: Lock;
  private letEndGo = (): void => {};
  private over = (): void => {};

  /** @param asking aborts the signal that the lock was acquired with, which also ends its renewal */
  constructor(
    private readonly call: RouteCall,
    private readonly lock: Lock,
    private readonly asking: AbortController,
  ) {
    const { handler, settings } = call;
    this.exact = handler !== undefined;
    this.settled = !this.exact;
    if (this.exact && settings.abortOnDisconnect) this.leaving = new AbortController();
    this.seen = this.leaving === undefined ? lock : withSignal(lock, this.leaving.signal);
  }

  /** Runs the work in the lock's context. */
  start(): void {
    const { call, seen } = this;
    call.req.lock = seen;
    call.life.follow(this);
    call.life.locks.push({ locker: call.settings.locker, lock: seen });
    const over = new Promise<void>((resolve) => {
      this.over = resolve;
    });
    // Until then a locker that closes leaves the lock to us.
    void runWithLock(seen, () => {
      this.run();
      return over;
    });
  }

  ended(): Promise<void> | undefined {
    const { req } = this.call;
    if (isBesideWork(req, this.seen)) {
      this.left(new LockAbortedError('Another part of the server ended the response.'));
      if (!this.exact)
        reportWarning(this.call.settings.locker, 'HOLDFAST_ENDED_BESIDE', ENDED_BESIDE);
      return undefined;
    }
    if (this.settled) return this.release();
    // A handler that has just answered is mostly done within this turn, and then the end can wait for
    // the release. One that goes on working has answered early, and means it.
    return new Promise((resolve) => {
      this.letEndGo = resolve;
      afterTurn(() => {
        if (this.released === undefined) resolve();
      });
    });
  }

  endedAgain(): void {
    if (!isWorkUnder(this.seen)) return;
    if (this.settled) void this.release();
    else this.destroyedEarly = true;
  }

  gone(): void {
    this.left(clientLeft(this.lock.key));
  }

  /** Nobody waits for the handler's answer any more. */
  private left(reason: LockAbortedError): void {
    const { lock, leaving, exact, asking, call } = this;
    if (call.settings.abortOnDisconnect) {
      const controller = (exact && leaving) || asking;
      controller.abort(reason);
    }
    if (!exact) setRenewal(lock, false);
    else if (this.settled) void this.release();
  }

  private run(): void {
    const { call } = this;
    const { handler, life, next } = call;
    if (handler === undefined) {
      next();
    } else if (!runHandler(handler, call, () => this.settle())) {
      this.exact = false;
      if (life.state === 'gone') this.gone();
      this.settle();
    }
  }

  private settle(): void {
    const { state } = this.call.life;
    this.settled = true;
    const isDone = state === 'ended' || this.destroyedEarly;
    if (isDone || (state === 'gone' && this.exact)) void this.release();
  }

  /** Resolves when the store has confirmed it, or when a response may not wait any longer. */
  private release(): Promise<void> {
    if (this.released === undefined) {
      const { lock, call } = this;
      const { releaseTimeout } = call.settings;
      const answered = lock.release();
      const confirmed: Promise<unknown> =
        releaseTimeout > RELEASE_LIMIT
          ? answered.then<unknown>((freed) => freed || releaseConfirmed(lock))
          : answered;
      this.released = atMost(releaseTimeout, confirmed);
      this.over();
      call.life.unfollow(this);
      void this.released.then(this.letEndGo);
    }
    return this.released;
  }
}

export function clientLeft(key?: string): LockAbortedError {
  return new LockAbortedError('The client went away.', { key });
}

/** Resolves when `work` does, at the latest after `ms`. */
function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    let done = false;
    let timer: NodeJS.Timeout | undefined;
    void work.then(() => {
      done = true;
      clearTimeout(timer);
      resolve();
    });
    // A store in the same process has confirmed by then, and needs no timer.
    void Promise.resolve().then(() => {
      if (ms === 0) resolve();
      else if (!done) timer = setTimeout(resolve, ms);
    });
  });
}
