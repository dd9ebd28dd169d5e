import { LinkedList, type Linked } from '../util/linked-list.ts';
import type { Timeout, TimeoutQueue, Timeouts } from '../util/timeouts.ts';
import type { Lease } from '../hold/lease.ts';
import type { LockStore, MaybePromise } from '../store.ts';
import { isPromiseLike, type StoreCalls } from '../util/store-calls.ts';
import type { LeaseTiming } from '../hold/lease-timing.ts';
import type { Alarm, Time } from '../util/time.ts';

/** How long, in ms, `release()` waits for the store before it goes on in the background. */
const RELEASE_LIMIT = 1_000;
const FIRST_RETRY = 50;
const LONGEST_RETRY = 1_000;

/** A grant that is to be ended on the store. */
export interface Unwanted {
  /** The user's key. */
  readonly key: string;
  readonly stored: string;
  readonly id: string;
  readonly terms: LeaseTiming;
}

/** What cleaning up needs of its engine. */
interface ReleasesHost {
  readonly time: Time;
  readonly calls: StoreCalls;
  readonly deadlines: Timeouts;
  readonly store: LockStore;
}

/** Ends one grant, repeatedly, until the store confirms it or the grant has run out. */
class Ending implements Linked<Ending> {
  previous: Ending | undefined = undefined;
  next: Ending | undefined = undefined;
  /** Whether the store freed it; `undefined` while that is open. */
  freed: boolean | undefined = undefined;
  private retry = FIRST_RETRY;
  private alarm: Alarm | undefined = undefined;

  constructor(
    private readonly engine: ReleasesHost,
    readonly grant: Unwanted,
    /** After this it has run out by itself. */
    private readonly until: number,
    private readonly keepFor: number | undefined,
    private ended: (freed: boolean, ending: Ending) => void,
  ) {}

  /** Asks the store, or goes on with what it was asked already. */
  attempt(given?: PromiseLike<boolean>): void {
    const { engine, keepFor } = this;
    const { key, stored, id, terms } = this.grant;
    engine.calls.send({
      phase: 'release',
      key,
      timeout: terms.storeTimeout,
      send: () => given ?? engine.store.release({ key: stored, id, keepFor }),
      answered: (freed) => this.finish(freed),
      failed: (error) => (error.permanent ? this.finish(false) : this.later()),
    });
  }

  finish(freed: boolean): void {
    if (this.freed !== undefined) return;
    this.freed = freed;
    this.engine.time.cancel(this.alarm);
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
    const { time } = this.engine;
    const left = this.until - time.now();
    if (left <= 0) {
      this.finish(false);
      return;
    }
    const delay = Math.min(this.retry * (0.5 + time.random() / 2), left);
    this.retry = Math.min(this.retry * 2, LONGEST_RETRY);
    this.alarm = time.after(delay, () => this.attempt(), true);
  }
}

/** An answer that is given in time, whatever the store does. */
class Limited implements Timeout {
  at = 0;
  previous: Timeout | undefined = undefined;
  next: Timeout | undefined = undefined;
  readonly answer: Promise<boolean>;
  private resolve!: (freed: boolean) => void;
  private open = true;

  constructor(private readonly deadlines: TimeoutQueue) {
    this.answer = new Promise((resolve) => {
      this.resolve = resolve;
    });
    deadlines.start(this);
  }

  missed(): void {
    this.open = false;
    this.resolve(false);
  }

  give(freed: boolean): void {
    if (!this.open) return;
    this.open = false;
    this.deadlines.met(this);
    this.resolve(freed);
  }
}

/** All the grants of a locker that are being ended. */
export class Releases {
  private readonly pending = new LinkedList<Ending>();
  /** Those who wait until nothing is pending. */
  private onSettled: (() => void)[] = [];

  constructor(private readonly engine: ReleasesHost) {}

  /** Releases what a holder held. Answers within {@link RELEASE_LIMIT}, false if not confirmed. */
  release(lease: Lease, now: number, keepFor?: number): MaybePromise<boolean> {
    const { key, stored, id, plan } = lease;
    let reply: MaybePromise<boolean>;
    try {
      reply = this.engine.store.release({ key: stored, id, keepFor });
    } catch (error) {
      reply = Promise.reject(error);
    }
    if (!isPromiseLike(reply)) return reply;
    // A renewal that was not confirmed may have been executed any time until now.
    const until = Math.max(lease.endsAt, now + Math.max(lease.longest, keepFor ?? 0));
    const limited = this.limit();
    const grant = { key, stored, id, terms: plan.terms };
    this.run(grant, until, (freed) => limited.give(freed), keepFor, reply);
    return limited.answer;
  }

  /** Frees what might still be ours of a lock that was lost. */
  releaseLost(lease: Lease): MaybePromise<boolean> {
    const now = this.engine.time.now();
    const freed = this.release(lease, now, lease.keepFor(now));
    return freed instanceof Promise ? freed.then(() => false) : false;
  }

  /** Frees a lost lock that a renewal, answered late or not at all, may have prolonged. */
  undo(lease: Lease): void {
    const { key, stored, id, plan, longest } = lease;
    const now = this.engine.time.now();
    const keepFor = lease.keepFor(now);
    this.run({ key, stored, id, terms: plan.terms }, now + longest, undefined, keepFor);
  }

  /**
   * Takes back an acquisition whose outcome is unknown or no longer wanted: it may have been granted,
   * or be granted any moment.
   */
  takeBack(unwanted: Unwanted): void {
    this.run(unwanted, this.engine.time.now() + unwanted.terms.ttl);
  }

  /** Answers within {@link RELEASE_LIMIT}, whatever the store does. */
  limited(freed: MaybePromise<boolean>): MaybePromise<boolean> {
    if (!(freed instanceof Promise)) return freed;
    const limited = this.limit();
    void freed.then((answer) => limited.give(answer));
    return limited.answer;
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

  private limit(): Limited {
    return new Limited(this.engine.deadlines.of(RELEASE_LIMIT));
  }

  private all(): Ending[] {
    const all: Ending[] = [];
    for (let ending = this.pending.first; ending !== undefined; ending = ending.next) {
      all.push(ending);
    }
    return all;
  }

  private run(
    unwanted: Unwanted,
    until: number,
    answered: (freed: boolean) => void = () => {},
    keepFor?: number,
    given?: PromiseLike<boolean>,
  ): void {
    const ended = (freed: boolean, ending: Ending): void => {
      this.pending.remove(ending);
      answered(freed);
      if (this.pending.size === 0) this.tellSettled();
    };
    const ending = new Ending(this.engine, unwanted, until, keepFor, ended);
    this.pending.append(ending);
    ending.attempt(given);
  }

  private tellSettled(): void {
    const waiting = this.onSettled;
    if (waiting.length === 0) return;
    this.onSettled = [];
    for (const resolve of waiting) resolve();
  }
}
