import {
  LockAbortedError,
  releaseConfirmed,
  runWithLock,
  setRenewal,
  withSignal,
  type Lock,
} from '@holdfast/core';
import type { Follower } from './response-life.ts';
import { runHandler, type Visit } from './work.ts';

/** ms after which `release()` answers, confirmed or not. */
const RELEASE_LIMIT = 1_000;

/**
 * A lock and the work under it: released when both the work and the response are done.
 *
 * When the work is done is exactly known only of a handler with a promise. Of other work it is said to
 * be done when it ends the response. If its client goes away first, it may still run: so the lock is
 * not released, but no longer renewed either, for the end may never come.
 */
export class Holding implements Follower {
  /** Whether the work has a promise. */
  private exact: boolean;
  /** Whether the work is done, as far as its promise can tell. */
  private settled: boolean;
  private released: Promise<void> | undefined;
  /** Fires the signal that an exact handler sees, and leaves renewal alone. */
  private readonly leaving: AbortController | undefined;
  private letEndGo = (): void => {};
  private over = (): void => {};

  /** @param asking aborts the signal that the lock was acquired with, which also ends its renewal */
  constructor(
    private readonly visit: Visit,
    private readonly lock: Lock,
    private readonly asking: AbortController,
  ) {
    const { handler, settings } = visit;
    this.exact = handler !== undefined;
    this.settled = !this.exact;
    if (this.exact && settings.abortOnDisconnect) this.leaving = new AbortController();
  }

  /** Runs the work in the lock's context. */
  start(): void {
    const { visit, lock, leaving } = this;
    const { life, req, settings } = visit;
    const seen = leaving === undefined ? lock : withSignal(lock, leaving.signal);
    life.follow(this);
    life.locks.push({ locker: settings.locker, lock });
    req.lock = seen;
    const over = new Promise<void>((resolve) => {
      this.over = resolve;
    });
    // Until then a locker that closes leaves the lock to us.
    void runWithLock(seen, () => {
      this.run();
      return over;
    });
  }

  ended(): Promise<void> {
    if (this.settled) return this.release();
    // A handler that has just answered is mostly done within this turn, and then the end can wait for
    // the release. One that goes on working has answered early, and means it.
    return new Promise((resolve) => {
      this.letEndGo = resolve;
      setImmediate(() => {
        if (this.released === undefined) resolve();
      });
    });
  }

  gone(): void {
    const { lock, leaving, exact, asking, visit } = this;
    if (visit.settings.abortOnDisconnect) {
      const controller = (exact && leaving) || asking;
      controller.abort(clientLeft(lock.key));
    }
    if (!exact) setRenewal(lock, false);
    else if (this.settled) void this.release();
  }

  private run(): void {
    const { visit } = this;
    const { handler, life, next } = visit;
    if (handler === undefined) {
      next();
    } else if (!runHandler(handler, visit, () => this.settle())) {
      this.exact = false;
      if (life.state === 'gone') this.gone();
      this.settle();
    }
  }

  private settle(): void {
    const { state } = this.visit.life;
    this.settled = true;
    if (state === 'ended' || (state === 'gone' && this.exact)) void this.release();
  }

  /** Resolves when the store has confirmed it, or when a response may not wait any longer. */
  private release(): Promise<void> {
    if (this.released === undefined) {
      const { lock, visit } = this;
      const { releaseTimeout } = visit.settings;
      const answered = lock.release();
      const confirmed: Promise<unknown> =
        releaseTimeout > RELEASE_LIMIT
          ? answered.then<unknown>((freed) => freed || releaseConfirmed(lock))
          : answered;
      this.released = atMost(releaseTimeout, confirmed);
      this.over();
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
