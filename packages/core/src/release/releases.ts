import type { Context } from '../context.ts';
import type { Lease } from '../hold/lease.ts';
import type { LeaseTiming } from '../hold/lease-timing.ts';
import type { MaybePromise } from '../store.ts';
import { Backoff } from '../util/backoff.ts';
import { LinkedList, type Linked } from '../util/linked-list.ts';
import { isPromiseLike } from '../util/store-calls.ts';
import type { Alarm } from '../util/time.ts';
import type { Timeout, TimeoutQueue } from '../util/timeouts.ts';

/** How long, in ms, `release()` waits for the store before it goes on in the background. */
const RELEASE_LIMIT = 1_000;

/** A grant that is to be ended on the store. */
export interface GrantRef {
  /** The user's key. */
  readonly key: string;
  readonly stored: string;
  readonly id: string;
  readonly timing: LeaseTiming;
  /** Until then the store keeps the key busy all the same; 0 if it is free at once. */
  readonly keepUntil: number;
  /** Whether others may hold the key beside it. */
  readonly permit: true | undefined;
}

/** Ends one grant, repeatedly, until the store confirms it or the grant has run out (specification 3.3, 4.7). */
class Ending implements Linked<Ending> {
  previous: Ending | undefined = undefined;
  next: Ending | undefined = undefined;
  /** Whether the store freed it; `undefined` while that is open. */
  freed: boolean | undefined = undefined;
  private readonly backoff = new Backoff();
  private alarm: Alarm | undefined = undefined;

  constructor(
    private readonly context: Context,
    readonly grant: GrantRef,
    /** After this it has run out by itself. */
    private readonly until: number,
    private ended: (freed: boolean, ending: Ending) => void,
  ) {}

  /** Asks the store, or goes on with what it was asked already. */
  attempt(sent?: PromiseLike<boolean>): void {
    const { context, grant } = this;
    const { key, timing } = grant;
    context.calls.send({
      phase: 'release',
      key,
      timeout: timing.storeTimeout,
      send: () => sent ?? endGrant(context, grant),
      answered: (freed) => this.finish(freed),
      failed: (error) => (error.permanent ? this.finish(false) : this.later()),
      late: (freed) => {
        if (freed) this.finish(true);
      },
    });
  }

  finish(freed: boolean): void {
    if (this.freed !== undefined) return;
    this.freed = freed;
    this.context.time.cancel(this.alarm);
    this.ended(freed, this);
  }

  /** Resolves when it has finished. */
  finished(): Promise<void> {
    const { ended } = this;
    return new Promise((resolve) => {
      this.ended = (freed, ending) => {
        ended(freed, ending);
        resolve();
      };
    });
  }

  private later(): void {
    if (this.freed !== undefined) return;
    const { time } = this.context;
    const left = this.until - time.now();
    if (left <= 0) {
      this.finish(false);
      return;
    }
    time.cancel(this.alarm);
    this.alarm = time.after(Math.min(this.backoff.next(time), left), () => this.attempt(), true);
  }
}

/** One request. What is kept is kept until a point in time, however often it is asked for. */
function endGrant(
  { store, time }: Context,
  { stored, id, keepUntil, permit }: Pick<GrantRef, 'stored' | 'id' | 'keepUntil' | 'permit'>,
  asks?: boolean,
): MaybePromise<boolean> {
  const left = keepUntil === 0 ? 0 : keepUntil - time.now();
  return store.release({ key: stored, id, keepFor: left > 0 ? left : undefined, permit, asks });
}

/** An answer that is given in time, whatever the store does. */
class Limited implements Timeout {
  at = 0;
  previous: Timeout | undefined = undefined;
  next: Timeout | undefined = undefined;
  readonly answer: Promise<boolean>;
  private resolve!: (freed: boolean) => void;
  private open = true;

  constructor(private readonly timeouts: TimeoutQueue) {
    this.answer = new Promise((resolve) => {
      this.resolve = resolve;
    });
    timeouts.start(this);
  }

  missed(): void {
    this.open = false;
    this.resolve(false);
  }

  give(freed: boolean): void {
    if (!this.open) return;
    this.open = false;
    this.timeouts.met(this);
    this.resolve(freed);
  }
}

/** All the grants of a locker that are being ended. */
export class Releases {
  private readonly pending = new LinkedList<Ending>();
  /** Those who wait until nothing is pending. */
  private onSettled: (() => void)[] = [];

  constructor(private readonly context: Context) {}

  /**
   * Releases what a holder holds or held. Answers within {@link RELEASE_LIMIT}, false if not confirmed.
   *
   * @param sent the request that ends it, if it was sent already
   * @param asks whether the key is asked for right after this
   */
  release(
    lease: Lease,
    now: number,
    sent?: MaybePromise<boolean>,
    asks?: boolean,
  ): MaybePromise<boolean> {
    const { keepUntil } = lease;
    let reply: MaybePromise<boolean>;
    try {
      reply = sent ?? endGrant(this.context, lease, asks);
    } catch (error) {
      reply = Promise.reject(error);
    }
    if (!isPromiseLike(reply)) return reply;
    // A renewal that was not confirmed may have been executed any time until now.
    const until = Math.max(lease.endsAt, now + lease.longest, keepUntil);
    const limited = new Limited(this.context.timeouts.of(RELEASE_LIMIT));
    this.run(refOf(lease), until, (freed) => limited.give(freed), reply);
    return limited.answer;
  }

  /** Frees what might still be ours of a lock that was lost. */
  releaseLost(lease: Lease): MaybePromise<boolean> {
    const freed = this.release(lease, this.context.time.now());
    return freed instanceof Promise ? freed.then(() => false) : false;
  }

  /** Frees a lost lock that a renewal, answered late or not at all, may have prolonged. */
  undo(lease: Lease): void {
    this.run(refOf(lease), this.context.time.now() + lease.longest);
  }

  /**
   * Takes back an acquisition whose outcome is unknown or no longer wanted: it may have been granted,
   * or be granted any moment.
   */
  takeBack(grant: GrantRef): void {
    this.run(grant, this.context.time.now() + grant.timing.ttl);
  }

  /** Asks once more for all that is under way: an answer may be lost, and there is little time left. */
  hurry(): void {
    for (const ending of this.all()) ending.attempt();
  }

  /** Resolves when nothing is under way any more for a grant. */
  async confirmed(id: string): Promise<void> {
    const concerned = this.all().filter(({ grant }) => grant.id === id);
    await Promise.all(concerned.map((ending) => ending.finished()));
  }

  /** Resolves when all that is under way has ended. */
  async settled(): Promise<void> {
    while (this.pending.size > 0) {
      await new Promise<void>((resolve) => {
        this.onSettled.push(resolve);
      });
    }
  }

  /** Gives up what is still under way. */
  stop(): void {
    for (const ending of this.all()) ending.finish(false);
  }

  private all(): Ending[] {
    const all: Ending[] = [];
    for (let ending = this.pending.first; ending !== undefined; ending = ending.next) {
      all.push(ending);
    }
    return all;
  }

  private run(
    grant: GrantRef,
    until: number,
    answered: (freed: boolean) => void = () => {},
    sent?: PromiseLike<boolean>,
  ): void {
    const ended = (freed: boolean, ending: Ending): void => {
      this.pending.remove(ending);
      answered(freed);
      if (this.pending.size === 0) this.tellSettled();
    };
    const ending = new Ending(this.context, grant, until, ended);
    this.pending.append(ending);
    ending.attempt(sent);
  }

  private tellSettled(): void {
    const waiting = this.onSettled;
    if (waiting.length === 0) return;
    this.onSettled = [];
    for (const resolve of waiting) resolve();
  }
}

function refOf({ key, stored, id, settings, keepUntil, permit }: Lease): GrantRef {
  return { key, stored, id, timing: settings.timing, keepUntil, permit };
}
