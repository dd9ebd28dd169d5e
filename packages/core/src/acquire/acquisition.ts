import type { Context } from '../context.ts';
import {
  LockerClosedError,
  LockNotAcquiredError,
  LockQueueFullError,
  LockStoreError,
  type LockConflictError,
} from '../errors.ts';
import type { AsyncContext, NotAcquiredReason } from '../events.ts';
import type { Grant, Lease } from '../hold/lease.ts';
import { announce, type Handle } from '../hold/lock-events.ts';
import { handOut } from '../hold/lock-views.ts';
import type { LockSettings } from '../options.ts';
import { listen, unlisten } from '../util/abort-listeners.ts';
import type { Linked } from '../util/linked-list.ts';
import { shared } from '../util/process-state.ts';
import { copyOf } from '../util/store-calls.ts';
import type { Timeout } from '../util/timeouts.ts';
import { restacked, withTrace, type Trace } from '../util/traces.ts';
import type { Lock } from '../types.ts';
import type { Acquirer, Waiter } from './waiter.ts';

/**
 * How long, in ms, after its limit an acquisition whose first request is still under way waits for the
 * answer: a limit shorter than a round trip must not make a busy lock look like an outage.
 */
const GRACE = 50;

/** How many acquisitions of this process have waited: each has its number. */
const waiters = shared('waiters', () => ({ count: 0 }));

/** How a lock is asked for. */
export interface Call {
  /** Whether a lock that stays busy is an error; otherwise it is `null`. */
  readonly demanding: boolean;
  /** Whether the caller gets a handle; otherwise the locker gets the lock, and runs work under it. */
  readonly byHand: boolean;
}

/** Ends an acquisition at its limit. */
class Limit implements Timeout {
  list: Timeout['list'] = undefined;
  timeoutAt = 0;
  earlier: Timeout | undefined = undefined;
  later: Timeout | undefined = undefined;

  constructor(private readonly acquisition: Acquisition) {}

  timedOut(): void {
    this.acquisition.limitReached(this);
  }
}

/** One call for a lock that was not answered at once: until it has the lock or must give up. */
export abstract class Acquisition implements Acquirer, Linked<Acquisition> {
  previous: Acquisition | undefined = undefined;
  next: Acquisition | undefined = undefined;
  readonly context: Context;
  abstract readonly owner: string | undefined;
  protected readonly lock: Promise<Lock | null>;
  /** Whether it was told that a key is busy: from then on it counts as waiting. */
  waiting = false;
  protected settled = false;
  private ownLimit: Limit | undefined = undefined;
  /** Of the call, for errors that end its wait. */
  private trace: Trace | undefined = undefined;
  /** Its number, once it was told that it waits. */
  private number: number | undefined = undefined;
  private readonly asyncContext: AsyncContext | undefined;
  private resolve!: (lock: Lock | null) => void;
  private reject!: (error: unknown) => void;

  constructor(
    readonly settings: LockSettings,
    private readonly call: Call,
    readonly since: number,
  ) {
    this.context = settings.context;
    this.asyncContext = settings.context.events.contextOfCall();
    this.lock = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    settings.context.queues.pending.append(this);
    if (settings.signal !== undefined) listen(settings.signal, this);
  }

  /** The first of its keys. */
  abstract get key(): string;

  /** As the caller gave them, without duplicates. */
  abstract get keys(): readonly string[];

  abstract granted(waiter: Waiter, grant: Grant, now: number): Lease;

  /** The wish that is open, if one is. */
  protected abstract get waiter(): Waiter | undefined;

  /** Withdraws the wish that is open, and releases what was taken. */
  protected abstract giveBack(): void;

  /** The caller's signal was aborted. */
  handleEvent(): void {
    this.end('aborted', () => this.reject(this.settings.signal?.reason));
  }

  /** The locker is closed. */
  close(): void {
    this.end('closed', () => this.rejectWith(new LockerClosedError({ key: this.key })));
  }

  waits(): void {
    const { events, queues } = this.context;
    if (this.waiting) return;
    this.waiting = true;
    queues.waiting += 1;
    const waiter = (this.number = waiters.count += 1);
    if (events.heard('waiting')) {
      events.emit('waiting', { ...this.about(), waiter }, this.asyncContext);
    }
  }

  busy(): void {
    this.end('busy', (waited) => {
      const { wait } = this.settings;
      if (!this.call.demanding) this.resolve(null);
      else this.rejectWith(new LockNotAcquiredError({ key: this.key, waited, wait }));
    });
  }

  refused(error: LockQueueFullError | LockConflictError): void {
    const reason = error instanceof LockQueueFullError ? 'queue-full' : 'conflict';
    this.end(reason, () => this.rejectWith(error));
  }

  failed(error: LockStoreError): void {
    // It may be about a request for many keys, or for another of ours, and be told to others too.
    this.end('store-error', () => this.rejectWith(copyOf(error, this.key)));
  }

  /**
   * It has asked, and was not answered at once.
   *
   * @returns what its caller gets. Whoever takes a lock by hand has it from here without another promise
   *   between, and so goes on before the one who has just released it asks again.
   */
  protected answer(): Promise<Lock | null> {
    const { lock } = this;
    if (!this.settled) this.trace = this.context.queues.traces.here(this.since);
    if (!this.call.byHand || this.trace !== undefined) return lock;
    return lock.then(undefined, (error: unknown) => {
      throw restacked(error);
    });
  }

  /** From now on it ends at its limit, unless it does already. */
  protected limit(): void {
    const { wait, timing } = this.settings;
    // A single attempt may take as long as one request, however many keys it is for.
    const limit = wait === 0 ? timing.storeTimeout : wait;
    if (this.settled || this.ownLimit !== undefined || limit === Infinity) return;
    this.ownLimit = new Limit(this);
    this.context.limits.start(this.ownLimit, limit, this.since);
  }

  protected succeed(lock: Handle, now: number): void {
    this.settle();
    announce(lock, now - this.since, this.number, this.asyncContext);
    this.resolve(this.call.byHand ? handOut(lock) : lock);
  }

  /** Takes back what was taken or asked for, and tells of the end. */
  private end(reason: NotAcquiredReason, answer: (waited: number) => void): void {
    if (this.settled) return;
    const { answers, time } = this.context;
    this.settle();
    this.giveBack();
    const now = time.now();
    const waited = now - this.since;
    const tell = (): void => {
      answer(waited);
      this.notAcquired(reason, waited);
    };
    // Whoever makes a single attempt ends by itself, and not with many others.
    if (this.settings.wait === 0) tell();
    else answers.give(tell, now);
  }

  private notAcquired(reason: NotAcquiredReason, waited: number): void {
    const { events } = this.context;
    // Nobody was told that the others wait.
    const told =
      reason === 'busy' || reason === 'queue-full' || reason === 'conflict' || this.waiting;
    if (told && events.heard('not-acquired')) {
      const about = { ...this.about(), waiter: this.number };
      events.emit('not-acquired', { ...about, waited, reason }, this.asyncContext);
    }
  }

  private rejectWith(error: Error): void {
    this.reject(withTrace(error, this.trace));
  }

  limitReached(limit: Limit): void {
    const { wait } = this.settings;
    const { time, calls, queues, limits } = this.context;
    const { waiter } = this;
    const waiting = waiter === undefined ? 'busy' : queues.lastWordFor(waiter);
    const known = wait === 0 ? undefined : waiting;
    if (known === 'busy') {
      this.busy();
    } else if (known !== undefined) {
      this.failed(known);
    } else if (wait > 0 && time.now() - this.since < wait + GRACE) {
      limits.start(limit, GRACE, time.now());
    } else {
      const message = 'The store did not answer within the limit of the wait.';
      const error = new LockStoreError(message, { phase: 'acquire', key: waiter?.key ?? this.key });
      this.failed(calls.errorFrom('acquire', this.key, error));
    }
  }

  /** Nothing is to go on by itself any more. */
  protected settle(): void {
    const { limits, queues } = this.context;
    this.settled = true;
    queues.pending.remove(this);
    if (this.waiting) queues.waiting -= 1;
    if (this.ownLimit !== undefined) limits.end(this.ownLimit);
    if (this.settings.signal !== undefined) unlisten(this.settings.signal, this);
  }

  private about(): {
    key: string;
    keys: readonly string[];
    label: string;
    owner: string | undefined;
  } {
    const { key, keys, settings } = this;
    return { key, keys, label: settings.label, owner: settings.owner };
  }
}
