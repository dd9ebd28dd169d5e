import type { Lease } from './lease.ts';
import type { LockStore, MaybePromise } from './store.ts';
import { isPromiseLike, type StoreCalls } from './store-calls.ts';
import type { Terms } from './terms.ts';
import type { Alarm, Time } from './time.ts';

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
  readonly terms: Terms;
}

/** What cleaning up needs of its engine. */
interface CleanupHost {
  readonly time: Time;
  readonly calls: StoreCalls;
  readonly store: LockStore;
}

/** Ends one grant, repeatedly, until the store confirms it or the grant has run out. */
class Ending {
  /** Whether the store freed it; `undefined` while that is open. */
  freed: boolean | undefined;
  private retry = FIRST_RETRY;
  private alarm: Alarm | undefined;
  private resolve: ((freed: boolean) => void) | undefined;

  constructor(
    private readonly engine: CleanupHost,
    private readonly grant: Unwanted,
    /** After this it has run out by itself. */
    private readonly until: number,
    private readonly keepFor: number | undefined,
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

  wait(): Promise<boolean> {
    return new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  finish(freed: boolean): void {
    if (this.freed !== undefined) return;
    this.freed = freed;
    this.engine.time.cancel(this.alarm);
    this.resolve?.(freed);
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

/** All the grants of a locker that are being ended. */
export class Cleanup {
  private readonly pending = new Map<Ending, Promise<boolean>>();

  constructor(private readonly engine: CleanupHost) {}

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
    return this.limited(this.run({ key, stored, id, terms: plan.terms }, until, keepFor, reply));
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
    void this.run({ key, stored, id, terms: plan.terms }, now + longest, keepFor);
  }

  /**
   * Takes back an acquisition whose outcome is unknown or no longer wanted: it may have been granted,
   * or be granted any moment.
   */
  takeBack(unwanted: Unwanted): MaybePromise<boolean> {
    return this.run(unwanted, this.engine.time.now() + unwanted.terms.ttl);
  }

  /** Answers within {@link RELEASE_LIMIT}, whatever the store does. */
  limited(freed: MaybePromise<boolean>): MaybePromise<boolean> {
    if (!(freed instanceof Promise)) return freed;
    const { time } = this.engine;
    return new Promise((resolve) => {
      const alarm = time.after(RELEASE_LIMIT, () => resolve(false), true);
      void freed.then((answer) => {
        time.cancel(alarm);
        resolve(answer);
      });
    });
  }

  /** Asks once more for all that is under way: an answer may be lost, and there is little time left. */
  hurry(): void {
    for (const ending of this.pending.keys()) ending.attempt();
  }

  /** Resolves when all that is under way has ended. */
  async settled(): Promise<void> {
    while (this.pending.size > 0) await Promise.all(this.pending.values());
  }

  /** Gives up what is still under way. */
  stop(): void {
    for (const ending of this.pending.keys()) ending.finish(false);
  }

  private run(
    unwanted: Unwanted,
    until: number,
    keepFor?: number,
    given?: PromiseLike<boolean>,
  ): MaybePromise<boolean> {
    const ending = new Ending(this.engine, unwanted, until, keepFor);
    ending.attempt(given);
    if (ending.freed !== undefined) return ending.freed;
    const freed = ending.wait();
    this.pending.set(ending, freed);
    void freed.then(() => this.pending.delete(ending));
    return freed;
  }
}
