import {
  LockAbortedError,
  LockArgumentError,
  LockNotAcquiredError,
  LockReentryError,
  LockStoreError,
  reportBypass,
  type Key,
  type Lock,
  type LockOptions,
} from '@holdfast/core';
import { answerLocked } from './answer-locked.ts';
import { clientLeft, Holding } from './holding.ts';
import { checkKey } from './options.ts';
import type { Follower } from './response-life.ts';
import { isPromiseLike, runUnlocked, type Visit } from './work.ts';

const TWICE =
  'lockRoute: this request already holds this lock, by a lockRoute before this one, and would wait ' +
  'for itself. Mount one of the two, or give them different keys.';
const TOO_LATE =
  'lockRoute: the response was ended before this middleware, so it cannot tell when its handler is ' +
  'done. Mount it before what answers, or wrap the handler: `lockRoute(…).handler(fn)`.';

/** What a request asks of the locker. */
interface Wish {
  readonly key: Key;
  readonly options: LockOptions;
}

/** A request that asks for its lock, and what becomes of it. */
export class Admission implements Follower {
  private readonly asking = new AbortController();

  constructor(private readonly visit: Visit) {}

  async run(): Promise<void> {
    const { visit, asking } = this;
    const { life, handler, next, settings } = visit;
    if (life.state === 'gone') return;
    if (life.state === 'ended' && handler === undefined) {
      next(new LockArgumentError(TOO_LATE));
      return;
    }
    // Before anything is awaited, for the client may leave at any time.
    life.follow(this);
    let wish: Wish | null;
    try {
      // Most often all is known at once, and then the lock is asked for at once.
      const found = this.wish();
      wish = found instanceof Promise ? await found : found;
    } catch (error) {
      this.goOn(() => next(error ?? new Error('The key function failed without a reason.')));
      return;
    }
    if (wish === null) {
      this.goOn(() => runUnlocked(visit));
      return;
    }
    const { key, options } = wish;
    let lock: Lock;
    try {
      lock = await settings.locker.lock(key, options);
    } catch (error) {
      this.goOn(() => this.refused(key, error));
      return;
    }
    if (asking.signal.aborted) void lock.release();
    this.goOn(() => new Holding(visit, lock, asking).start());
  }

  /** Somebody else answers meanwhile, as a time-out does. */
  ended(): undefined {
    this.asking.abort(new LockAbortedError('The response was ended before the lock was acquired.'));
  }

  gone(): void {
    this.asking.abort(clientLeft());
  }

  /** @throws LockArgumentError, LockReentryError, and what the user's functions throw */
  private wish(): Wish | null | Promise<Wish | null> {
    const { settings, req, res } = this.visit;
    const { key: asked, ttl, wait } = settings;
    const key = typeof asked === 'function' ? asked(req, res) : asked;
    if (isPromiseLike(key) || typeof ttl === 'function' || typeof wait === 'function') {
      return this.wishLater(key);
    }
    const checked = checkKey(key);
    return checked === null ? null : this.wishFor(checked, ttl, wait);
  }

  private async wishLater(asked: Key | null | PromiseLike<Key | null>): Promise<Wish | null> {
    const { settings, req, res } = this.visit;
    const { ttl, wait } = settings;
    const key = checkKey(await asked);
    if (key === null) return null;
    return this.wishFor(
      key,
      typeof ttl === 'function' ? await ttl(req, res) : ttl,
      typeof wait === 'function' ? await wait(req, res) : wait,
    );
  }

  private wishFor(key: Key, ttl?: number, wait?: number): Wish {
    this.checkReentry(key);
    const { maxHold } = this.visit.settings;
    return { key, options: { ttl, wait: wait ?? 0, maxHold, signal: this.asking.signal } };
  }

  /** With `wait: 0` the locker could only say that the lock is busy. */
  private checkReentry(key: Key): void {
    const { life, settings } = this.visit;
    if (life.locks.length === 0) return;
    const keys = new Set(typeof key === 'string' ? [key] : key);
    for (const { locker, lock } of life.locks) {
      if (locker !== settings.locker || lock.state !== 'held') continue;
      const twice = lock.keys.find((one) => keys.has(one));
      if (twice !== undefined) throw new LockReentryError({ key: twice, message: TWICE });
    }
  }

  private goOn(proceed: () => void): void {
    this.visit.life.unfollow(this);
    // Otherwise nobody waits for an answer any more.
    if (!this.asking.signal.aborted) proceed();
  }

  private refused(key: Key, error: unknown): void {
    const { settings, res, next } = this.visit;
    if (error instanceof LockStoreError && settings.onStoreError === 'allow') {
      this.bypass(key, error);
    } else if (!(error instanceof LockNotAcquiredError)) {
      next(error);
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
    const { settings, req, res, next } = this.visit;
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
    reportBypass(this.visit.settings.locker, { key: keys[0], keys, error });
    runUnlocked(this.visit);
  }
}
