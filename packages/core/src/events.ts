import { AsyncLocalStorage } from 'node:async_hooks';
import { channel, type Channel } from 'node:diagnostics_channel';
import type { LockStoreError, LossReason } from './errors.ts';
import type { Notices } from './util/notices.ts';
import { isPromiseLike } from './util/promises.ts';
import { textOf } from './util/thrown.ts';

/** In every payload. */
export interface LockEvent {
  /** The `name` of the locker. */
  readonly locker: string;
  /** The `name` of the store. */
  readonly store: string;
}

/** In every payload that is about an acquisition or a lock. */
export interface LockKeyEvent extends LockEvent {
  /** The first of `keys`. */
  readonly key: string;
  readonly keys: readonly string[];
  /** Who holds or waits, for people. */
  readonly label: string;
}

/** In every payload that is about a lock that was granted. Durations are in ms. */
export interface HeldLockEvent extends LockKeyEvent {
  readonly owner: string;
  readonly fencingToken: number;
}

/**
 * Why an acquisition ended without its lock:
 * `busy` (at a single attempt, or for longer than `wait`), `queue-full` (too many wait already),
 * `conflict` (others hold it or wait for it with another `limit`), `aborted` (the caller's signal), `store-error` (the store failed), `closed` (the locker was closed).
 */
export type NotAcquiredReason =
  | 'busy'
  | 'queue-full'
  | 'conflict'
  | 'aborted'
  | 'store-error'
  | 'closed';

/**
 * What a locker tells, by `locker.on(event, listener)` and on `node:diagnostics_channel` as
 * `holdfast:<event>`. What concerns an acquisition is published there in the async context of its call.
 *
 * @example
 * ```ts
 * locker.on('lost', ({ key, reason, heldFor }) => metrics.lost.add(1, { reason }));
 * ```
 */
export interface LockEvents {
  acquired: HeldLockEvent & {
    /** ms from asking to holding. */
    readonly waited: number;
    /** Absent if it did not have to wait; else as in `waiting`. */
    readonly waiter?: number | undefined;
  };
  /** Once per acquisition that finds its lock busy and waits. */
  waiting: LockKeyEvent & {
    readonly owner?: string | undefined;
    /** Tells the waiters of this process apart; also in the event that ends the wait. */
    readonly waiter: number;
  };
  /**
   * An acquisition found its lock busy and ended without it. Each one that was `waiting` ends with this
   * or with `acquired`.
   */
  'not-acquired': LockKeyEvent & {
    readonly owner?: string | undefined;
    /** ms from asking to the end. */
    readonly waited: number;
    readonly reason: NotAcquiredReason;
    /** Absent if it did not have to wait; else as in `waiting`. */
    readonly waiter?: number | undefined;
  };
  renewed: HeldLockEvent & {
    /** ms that were left until the lock would have counted as lost, when the store confirmed. */
    readonly headroom: number;
  };
  lost: HeldLockEvent & { readonly heldFor: number; readonly reason: LossReason };
  released: HeldLockEvent & { readonly heldFor: number };
  /** Between `released` and `acquired`, when a lock passes to a waiter of the same process. */
  handoff: HeldLockEvent;
  /** An adapter let work run without its lock, as it was told to. */
  bypassed: LockEvent & {
    readonly key?: string | undefined;
    readonly keys?: readonly string[] | undefined;
    readonly error?: unknown;
  };
  /** At most one a second per locker. */
  'store-error': LockEvent & {
    /** Absent where many locks are concerned. */
    readonly key?: string | undefined;
    readonly keys?: readonly string[] | undefined;
    readonly error: LockStoreError;
  };
  /** Once per code and locker, also as a warning of the process. */
  warning: LockEvent & { readonly code: string; readonly message: string };
}

/** Runs a function in the async context of an earlier moment. */
export type AsyncContext = (run: () => void) => void;

type Payload<E extends keyof LockEvents> = Omit<LockEvents[E], 'locker' | 'store'>;

const channels = Object.fromEntries(
  (
    [
      'acquired',
      'waiting',
      'not-acquired',
      'renewed',
      'lost',
      'released',
      'handoff',
      'bypassed',
      'store-error',
      'warning',
    ] as const
  ).map((event) => [event, channel(`holdfast:${event}`)]),
) as Record<keyof LockEvents, Channel>;

const EVENT_NAMES: ReadonlySet<string> = new Set(Object.keys(channels));

export function isEventName(name: string): name is keyof LockEvents {
  return EVENT_NAMES.has(name);
}

/** The listeners of one locker. */
export class Events {
  private readonly listeners = new Map<keyof LockEvents, Set<(payload: never) => void>>();
  private readonly warned = new Set<string>();

  constructor(
    private readonly locker: string,
    private readonly store: string,
    private readonly notices: Notices,
  ) {}

  on<E extends keyof LockEvents>(event: E, listener: (payload: LockEvents[E]) => void): () => void {
    // Each call is a listening of its own, also with the same function.
    const own = (payload: LockEvents[E]): void => listener(payload);
    const set = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, set.add(own));
    return () => {
      set.delete(own);
      if (set.size === 0 && this.listeners.get(event) === set) this.listeners.delete(event);
    };
  }

  /** Payloads cost, and most lockers have no listener: ask before making one. */
  heard(event: keyof LockEvents): boolean {
    return channels[event].hasSubscribers || (this.listeners.size > 0 && this.listeners.has(event));
  }

  /**
   * The current async context, if anybody may be told of an acquisition that starts now: that happens
   * later, from wherever its answer comes.
   */
  contextOfCall(): AsyncContext | undefined {
    const { acquired, waiting, 'not-acquired': refused } = channels;
    const observed = acquired.hasSubscribers || waiting.hasSubscribers || refused.hasSubscribers;
    return observed ? AsyncLocalStorage.snapshot() : undefined;
  }

  /** @param within the async context to publish in; default: the current one */
  emit<E extends keyof LockEvents>(event: E, details: Payload<E>, within?: AsyncContext): void {
    const payload = { locker: this.locker, store: this.store, ...details } as LockEvents[E];
    this.notices.add(() => this.deliver(event, payload, within));
  }

  private deliver<E extends keyof LockEvents>(
    event: E,
    payload: LockEvents[E],
    within: AsyncContext | undefined,
  ): void {
    const set = this.listeners.get(event);
    // Those who come meanwhile hear of the next one: a listener that listens anew would never end.
    for (const listener of set === undefined ? [] : [...set]) {
      if (set?.has(listener) !== true) continue;
      this.guarded(() => (listener as (payload: LockEvents[E]) => unknown)(payload));
    }
    // Node itself keeps a throwing subscriber away from the publisher.
    if (within === undefined) channels[event].publish(payload);
    else within(() => channels[event].publish(payload));
  }

  /** Calls a function of the user's when the change of state that it is told of is complete. */
  call(run: () => unknown): void {
    this.notices.add(() => this.guarded(run));
  }

  /** Tells what an operator should know, once per code. */
  warn(code: string, message: string): void {
    if (this.warned.has(code)) return;
    this.warned.add(code);
    process.emitWarning(message, { type: 'HoldfastWarning', code });
    this.emit('warning', { code, message });
  }

  /** Runs a function of the user's that must not reach the lock path, whether it throws or rejects. */
  guarded(run: () => unknown): void {
    const told = (error: unknown): void =>
      this.warn('HOLDFAST_LISTENER_FAILED', `A listener failed: ${textOf(error)}`);
    try {
      const result = run();
      if (isPromiseLike(result)) result.then(undefined, told);
    } catch (error) {
      told(error);
    }
  }
}
