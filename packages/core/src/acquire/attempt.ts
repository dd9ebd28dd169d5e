import type { LockStoreError } from '../errors.ts';
import { isFresh, type Grant } from '../hold/lease.ts';
import type { LockSettings } from '../options.ts';
import type { AcquireReply, AcquireRequest, MaybePromise } from '../store.ts';
import { isPromiseLike } from '../util/promises.ts';
import { CAME_LATE, type Pending } from '../util/store-calls.ts';
import type { Timeout } from '../util/timeouts.ts';
import type { Waiter } from './waiter.ts';

/** A grant of the store's. */
export type Granted = Extract<AcquireReply, { granted: true }>;

/** A request, and what the store answered or will answer. */
export interface Sent {
  readonly sentAt: number;
  /** Whether it asked for a place in the key's queue. */
  readonly registers: boolean;
  readonly reply: MaybePromise<AcquireReply>;
}

/**
 * Asks the store for a key; every acquire request of a locker is sent here.
 *
 * @param id of the acquisition at the store
 * @param owner absent: the id
 * @param wait whether to register in the queue of a busy key
 * @param replaces the id of a grant of this locker that the request ends
 * @param now what the clock of the locker shows, if it was read just now
 */
export function ask(
  settings: LockSettings,
  stored: string,
  id: string,
  owner: string | undefined,
  wait: boolean,
  replaces?: string,
  now?: number,
): MaybePromise<AcquireReply> {
  const { context, sharing } = settings;
  const { store, embedded, client } = context;
  const { ttl } = settings.timing;
  // A permit is not passed on: its next token would be smaller than that of a permit granted meanwhile.
  const tokens = sharing === undefined ? context.tokens : 1;
  if (!context.subscribed) context.subscribe();
  try {
    const request: AcquireRequest = {
      key: stored,
      id,
      owner: owner ?? id,
      label: settings.label,
      ttl,
      tokens,
      client,
      wait,
      replaces,
      sharing,
      givesUp: settings.owner === undefined ? undefined : context.queues.mayWait(settings),
    };
    // To read the clock once more would take a twentieth of the time of a lock on the embedded store.
    return embedded === undefined ? store.acquire(request) : embedded.acquire(request, now);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Who acts on the outcome of an attempt, which is told once. */
export interface AttemptListener {
  /** @param room of a permit: how much weight fits beside it while nobody waits */
  granted(attempt: Attempt, grant: Grant, now: number, room: number): void;
  /** @param retryAfter in how many ms the key could be had if no event comes before */
  busy(attempt: Attempt, retryAfter: number | undefined): void;
  /** The key is held with another limit. */
  conflicts(attempt: Attempt, currentLimit: number): void;
  failed(attempt: Attempt, error: LockStoreError): void;
  /** After it has failed, it was granted all the same, and is still wanted. */
  grantedLate(attempt: Attempt): void;
}

/**
 * One try to get a key for one waiter: sends the request, waits for the answer as long as that may take,
 * asks once more for a grant that came late, which renews it (specification 3.4), and takes back what nobody
 * wants (3.3).
 */
export class Attempt implements Pending<AcquireReply> {
  list: Timeout['list'] = undefined;
  timeoutAt = 0;
  earlier: Timeout | undefined = undefined;
  later: Timeout | undefined = undefined;
  readonly phase = 'acquire';
  readonly id: string;
  sentAt = 0;
  private state: 'asked' | 'asked again' | 'failed' | 'over' = 'asked';

  constructor(
    readonly waiter: Waiter,
    public listener: AttemptListener,
    /** Whether the store may have registered this locker in the key's queue. */
    readonly registers: boolean,
  ) {
    this.id = waiter.id;
  }

  get key(): string {
    return this.waiter.key;
  }

  /** @param sent the request, if it was sent already */
  start(sent?: Sent): void {
    const { context, settings } = this.waiter;
    this.sentAt = sent?.sentAt ?? context.time.now();
    const reply = sent?.reply ?? this.waiter.ask(this.registers);
    if (isPromiseLike(reply)) {
      context.calls.await(this, reply, settings.timing.storeTimeout, this.sentAt);
    } else if (this.state === 'over') {
      // Abandoned by what the store told of meanwhile.
      this.late(reply);
    } else {
      this.answered(reply);
    }
  }

  /**
   * Goes on with a request that somebody else sent.
   *
   * @param reply if that is still under way
   */
  takeOver(sentAt: number, reply?: PromiseLike<AcquireReply>): void {
    const { context, settings } = this.waiter;
    this.sentAt = sentAt;
    if (reply !== undefined) {
      context.calls.await(this, reply, settings.timing.storeTimeout, sentAt);
    }
  }

  /** It is one already: as `KeyAcquisition.asAttempt()`. */
  asAttempt(): this {
    return this;
  }

  /**
   * Nobody wants it any more. The request that takes it back is sent behind it, so that a server that
   * serves in order undoes even a late grant.
   */
  abandon(): void {
    this.waiter.context.timeouts.end(this);
    this.state = 'over';
    this.waiter.takeBack(this.id);
  }

  answered(reply: AcquireReply): void {
    if (reply.granted) {
      this.granted(reply);
      return;
    }
    this.state = 'over';
    if (reply.conflict === undefined) this.listener.busy(this, reply.retryAfter);
    else this.listener.conflicts(this, reply.conflict);
  }

  errored(error: LockStoreError): void {
    this.state = 'failed';
    this.listener.failed(this, error);
  }

  late(reply: AcquireReply): void {
    if (!reply.granted) return;
    if (this.state === 'failed' && this.waiter.wants(this.id)) this.listener.grantedLate(this);
    else this.waiter.takeBack(this.id);
  }

  timedOut(): void {
    const { context, key, settings } = this.waiter;
    this.errored(context.calls.timeoutError('acquire', key, settings.timing.storeTimeout));
  }

  private granted(reply: Granted): void {
    const { waiter, sentAt } = this;
    const { context, settings, key } = waiter;
    const now = context.time.checkedNow();
    if (isFresh(sentAt, settings.timing, now)) {
      this.state = 'over';
      const owner = settings.owner === undefined ? waiter.owner : undefined;
      const grant = context.queues.grantOf(this.id, reply, sentAt, owner);
      this.listener.granted(this, grant, now, reply.room ?? 0);
    } else if (this.state === 'asked') {
      this.state = 'asked again';
      this.start();
    } else {
      waiter.takeBack(this.id);
      this.errored(context.calls.errorFrom('acquire', key, new Error(CAME_LATE)));
    }
  }
}
