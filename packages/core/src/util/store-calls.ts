import type { Timeout, TimeoutQueue, Timeouts } from './timeouts.ts';
import { LockStoreError, type StorePhase } from '../errors.ts';
import type { Events } from '../events.ts';
import type { MaybePromise } from '../store.ts';
import type { Notices } from './notices.ts';
import type { Time } from './time.ts';
import { traceHere, withTrace } from './traces.ts';

/** How often errors of the store are told, in ms. */
const ERROR_EVENT_EVERY = 1_000;

/** Of a grant with too little of its time left. */
export const CAME_LATE = 'The lock was granted too late to be used safely.';

/** One request to the store. */
export interface StoreCall<T> {
  readonly phase: StorePhase;
  /** The user's key, where the request is about one. */
  readonly key?: string | undefined;
  /** ms. */
  readonly timeout: number;
  readonly send: () => MaybePromise<T>;
  /** Called once, synchronously if the store answers so. */
  readonly answered: (reply: T) => void;
  readonly failed: (error: LockStoreError) => void;
  /** An answer after the time-out. */
  readonly late?: ((reply: T) => void) | undefined;
}

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

/** The same failure, as one who asked for `key` is told of it. */
function withKey(error: LockStoreError, key: string | undefined): LockStoreError {
  return error.key === key ? error : copyOf(error, key);
}

/** The same failure, for one caller of several: each gets an error with a stack of its own. */
export function copyOf(error: LockStoreError, key: string | undefined): LockStoreError {
  const { message, phase, permanent, cause } = error;
  return new LockStoreError(message, { phase, key, permanent, cause: cause ?? error });
}

/** Sends requests to the store, with a time-out each, and makes one class of error of all that fails. */
export class StoreCalls {
  private lastTold = -Infinity;

  constructor(
    private readonly time: Time,
    private readonly timeouts: Timeouts,
    private readonly events: Events,
    private readonly notices: Notices,
  ) {}

  send<T>(call: StoreCall<T>): void {
    let reply: MaybePromise<T>;
    try {
      reply = call.send();
    } catch (error) {
      this.fail(call, error);
      return;
    }
    if (isPromiseLike(reply)) this.await(call, reply);
    else call.answered(reply);
  }

  /** As {@link send}, as a promise. */
  ask<T>(call: Pick<StoreCall<T>, 'phase' | 'key' | 'timeout' | 'send'>): Promise<T> {
    const trace = traceHere();
    return new Promise((answered, reject) => {
      const failed = (error: LockStoreError): void => {
        reject(withTrace(copyOf(error, call.key), trace));
      };
      this.send({ ...call, answered, failed });
    });
  }

  /** Makes a `LockStoreError` of whatever the store threw, and tells of it. */
  errorFrom(phase: StorePhase, key: string | undefined, cause: unknown): LockStoreError {
    const error =
      cause instanceof LockStoreError
        ? withKey(cause, cause.key ?? key)
        : new LockStoreError(`The store failed (${phase}).`, { phase, key, cause });
    this.tell(error);
    return error;
  }

  /** Of a request that was not answered within `timeout` ms. */
  timeoutError(phase: StorePhase, key: string | undefined, timeout: number): LockStoreError {
    const message = `The store did not answer within ${Math.round(timeout)} ms (${phase}).`;
    return this.errorFrom(phase, key, new LockStoreError(message, { phase, key }));
  }

  private await<T>(call: StoreCall<T>, reply: PromiseLike<T>): void {
    const pending = new PendingCall(() => this.timedOut(call));
    const timeouts = this.timeouts.of(call.timeout);
    timeouts.start(pending);
    reply.then(
      (value) => {
        this.notices.begin();
        try {
          if (pending.settle(timeouts)) call.answered(value);
          else call.late?.(value);
        } finally {
          this.notices.end();
        }
      },
      (error: unknown) => {
        if (!pending.settle(timeouts)) return;
        this.notices.begin();
        this.fail(call, error);
        this.notices.end();
      },
    );
  }

  private timedOut<T>(call: StoreCall<T>): void {
    const { phase, key, timeout } = call;
    call.failed(this.timeoutError(phase, key, timeout));
  }

  private fail<T>(call: StoreCall<T>, cause: unknown): void {
    call.failed(this.errorFrom(call.phase, call.key, cause));
  }

  private tell(error: LockStoreError): void {
    const now = this.time.now();
    if (now - this.lastTold < ERROR_EVENT_EVERY || !this.events.heard('store-error')) return;
    this.lastTold = now;
    this.events.emit('store-error', { key: error.key, error });
  }
}

/** A request whose answer is awaited. */
class PendingCall implements Timeout {
  at = 0;
  previous: Timeout | undefined = undefined;
  next: Timeout | undefined = undefined;
  private open = true;

  constructor(private readonly onMissed: () => void) {}

  missed(): void {
    this.open = false;
    this.onMissed();
  }

  /** @returns whether the answer came in time */
  settle(timeouts: TimeoutQueue): boolean {
    const { open } = this;
    if (open) timeouts.met(this);
    this.open = false;
    return open;
  }
}
