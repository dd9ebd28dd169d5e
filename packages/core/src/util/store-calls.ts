import type { Timeout, Timeouts } from './timeouts.ts';
import { LockStoreError, type StorePhase } from '../errors.ts';
import type { Events } from '../events.ts';
import type { MaybePromise } from '../store.ts';
import type { Notices } from './notices.ts';
import { isPromiseLike } from './promises.ts';
import type { Time } from './time.ts';
import { traceHere, withTrace } from './traces.ts';

/** How often errors of the store are told, in ms. */
const ERROR_EVENT_EVERY = 1_000;

/** Of a grant with too little of its time left. */
export const CAME_LATE = 'The lock was granted too late to be used safely.';

/** A request whose answer is awaited. Nobody is told of it any more once its timeout was ended. */
export interface Pending<T> extends Timeout {
  readonly phase: StorePhase;
  /** The user's key, where the request is about one. */
  readonly key: string | undefined;
  answered(reply: T): void;
  errored(error: LockStoreError): void;
  /** An answer that came after the end of its timeout. */
  late(reply: T): void;
}

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

/** The same failure, as one who asked for this is told of it: a store may not know what for it was asked. */
function asAsked(
  error: LockStoreError,
  key: string | undefined,
  phase: StorePhase,
): LockStoreError {
  return error.key === key && error.phase === phase ? error : copyOf(error, key, phase);
}

/** The same failure, for one caller of several: each gets an error with a stack of its own. */
export function copyOf(
  error: LockStoreError,
  key: string | undefined,
  phase = error.phase,
): LockStoreError {
  const { message, permanent, cause } = error;
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
      call.failed(this.errorFrom(call.phase, call.key, error));
      return;
    }
    if (!isPromiseLike(reply)) {
      call.answered(reply);
      return;
    }
    const pending = new PendingCall(call, this);
    this.await(pending, reply, call.timeout, this.time.now());
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
        ? asAsked(cause, cause.key ?? key, phase)
        : new LockStoreError(`The store failed (${phase}).`, { phase, key, cause });
    this.tell(error);
    return error;
  }

  /** Of a request that was not answered within `timeout` ms. */
  timeoutError(phase: StorePhase, key: string | undefined, timeout: number): LockStoreError {
    const message = `The store did not answer within ${Math.round(timeout)} ms (${phase}).`;
    return this.errorFrom(phase, key, new LockStoreError(message, { phase, key }));
  }

  /** Waits for the answer to a request that was sent at `sentAt`, for `timeout` ms. */
  await<T>(pending: Pending<T>, reply: PromiseLike<T>, timeout: number, sentAt: number): void {
    const { timeouts, notices } = this;
    timeouts.start(pending, timeout, sentAt);
    reply.then(
      (answer) => {
        notices.begin();
        try {
          if (timeouts.end(pending)) pending.answered(answer);
          else pending.late(answer);
        } finally {
          notices.end();
        }
      },
      (error: unknown) => {
        if (!timeouts.end(pending)) return;
        notices.begin();
        try {
          pending.errored(this.errorFrom(pending.phase, pending.key, error));
        } finally {
          notices.end();
        }
      },
    );
  }

  private tell(error: LockStoreError): void {
    const now = this.time.now();
    if (now - this.lastTold < ERROR_EVENT_EVERY || !this.events.heard('store-error')) return;
    this.lastTold = now;
    const { key } = error;
    this.events.emit('store-error', { key, keys: key === undefined ? undefined : [key], error });
  }
}

/** A request that somebody else than its maker waits for. */
class PendingCall<T> implements Pending<T> {
  list: Timeout['list'] = undefined;
  timeoutAt = 0;
  earlier: Timeout | undefined = undefined;
  later: Timeout | undefined = undefined;

  constructor(
    private readonly call: StoreCall<T>,
    private readonly calls: StoreCalls,
  ) {}

  get phase(): StorePhase {
    return this.call.phase;
  }

  get key(): string | undefined {
    return this.call.key;
  }

  answered(reply: T): void {
    this.call.answered(reply);
  }

  errored(error: LockStoreError): void {
    this.call.failed(error);
  }

  late(reply: T): void {
    this.call.late?.(reply);
  }

  timedOut(): void {
    const { phase, key, timeout } = this.call;
    this.errored(this.calls.timeoutError(phase, key, timeout));
  }
}
