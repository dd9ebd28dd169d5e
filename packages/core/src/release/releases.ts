import type { Context } from '../context.ts';
import type { LockStoreError } from '../errors.ts';
import type { Lease } from '../hold/lease.ts';
import type { LockSettings } from '../options.ts';
import type { MaybePromise } from '../store.ts';
import { Backoff } from '../util/backoff.ts';
import { isPromiseLike } from '../util/promises.ts';
import type { Pending } from '../util/store-calls.ts';
import type { Alarm } from '../util/time.ts';
import type { Timeout } from '../util/timeouts.ts';

/** How long, in ms, `release()` waits for the store before it goes on in the background. */
const RELEASE_LIMIT = 1_000;

/** A grant that is to be ended on the store. */
export interface GrantRef {
  /** The user's key. */
  readonly key: string;
  readonly stored: string;
  readonly id: string;
  readonly settings: LockSettings;
  /** Until then the store keeps the key busy all the same. */
  readonly keepUntil: number;
  /** Until when the store may keep the key busy, if it was last asked for it at `from`. */
  busyUntil(from: number): number;
}

/** Ends one grant, repeatedly, until the store confirms it or the grant has run out (specification 3.3, 4.7). */
class Ending implements Pending<boolean> {
  list: Timeout['list'] = undefined;
  timeoutAt = 0;
  earlier: Timeout | undefined = undefined;
  later: Timeout | undefined = undefined;
  readonly phase = 'release';
  /** Whether the store freed it; `undefined` while that is open. */
  freed: boolean | undefined = undefined;
  /** Answers the holder who releases, until that is done. */
  private tell: ((freed: boolean) => void) | undefined = undefined;
  /** Those who wait until it has finished. */
  private onFinished: (() => void)[] | undefined = undefined;
  private backoff: Backoff | undefined = undefined;
  /** For the next request. */
  private alarm: Alarm | undefined = undefined;
  /** For the answer to the holder. */
  private limit: Alarm | undefined = undefined;

  constructor(
    private readonly releases: Releases,
    readonly grant: GrantRef,
    /** When its first request was sent. */
    private readonly since: number,
  ) {}

  get key(): string {
    return this.grant.key;
  }

  /**
   * Waits for the answer to the first request, for a holder who releases.
   *
   * @returns what to tell the holder, within {@link RELEASE_LIMIT}; false if it is not known by then
   */
  answer(reply: PromiseLike<boolean>): Promise<boolean> {
    const answer = new Promise<boolean>((resolve) => {
      this.tell = resolve;
    });
    // One timeout does for the holder and for the request, as long as it is not missed.
    const timeout = Math.min(RELEASE_LIMIT, this.grant.settings.timing.storeTimeout);
    this.releases.context.calls.await(this, reply, timeout, this.since);
    return answer;
  }

  /** Asks the store. */
  ask(): void {
    const { context } = this.releases;
    const { key, grant } = this;
    context.calls.send<boolean>({
      phase: 'release',
      key,
      timeout: grant.settings.timing.storeTimeout,
      send: () => endGrant(context, grant, context.time.now()),
      answered: (freed) => this.finish(freed),
      failed: (error) => this.errored(error),
      late: (freed) => this.late(freed),
    });
  }

  answered(freed: boolean): void {
    this.finish(freed);
  }

  errored(error: LockStoreError): void {
    if (error.permanent) this.finish(false);
    else this.askAgain();
    const { tell, releases, since } = this;
    if (tell === undefined || this.limit !== undefined) return;
    const { time } = releases.context;
    const left = since + RELEASE_LIMIT - time.now();
    this.limit = time.after(left, () => this.tellHolder(false), true);
  }

  late(freed: boolean): void {
    if (freed) this.finish(true);
  }

  /** The first request was not answered, or its holder has waited long enough. */
  timedOut(): void {
    const { calls, time, timeouts } = this.releases.context;
    const { storeTimeout } = this.grant.settings.timing;
    if (this.tell !== undefined && storeTimeout > RELEASE_LIMIT) {
      this.tellHolder(false);
      timeouts.start(this, storeTimeout - RELEASE_LIMIT, time.now());
      return;
    }
    this.errored(calls.timeoutError('release', this.key, storeTimeout));
  }

  finish(freed: boolean): void {
    if (this.freed !== undefined) return;
    this.freed = freed;
    if (this.alarm !== undefined) this.releases.context.time.cancel(this.alarm);
    this.releases.ended(this);
    if (this.tell !== undefined) this.tellHolder(freed);
    for (const told of this.onFinished ?? []) told();
  }

  /** Resolves when it has finished. */
  finished(): Promise<void> {
    return new Promise((resolve) => {
      (this.onFinished ??= []).push(resolve);
    });
  }

  private tellHolder(freed: boolean): void {
    const { tell, limit } = this;
    if (tell === undefined) return;
    this.tell = undefined;
    if (limit !== undefined) this.releases.context.time.cancel(limit);
    tell(freed);
  }

  private askAgain(): void {
    if (this.freed !== undefined) return;
    const { time } = this.releases.context;
    // A renewal that was not confirmed may have been executed any time until the release.
    const left = this.grant.busyUntil(this.since) - time.now();
    if (left <= 0) {
      this.finish(false);
      return;
    }
    time.cancel(this.alarm);
    this.backoff ??= new Backoff();
    this.alarm = time.after(Math.min(this.backoff.next(time), left), () => this.ask(), true);
  }
}

/** One request. What is kept is kept until a point in time, however often it is asked for. */
function endGrant(
  { store }: Context,
  { stored, id, keepUntil, settings }: GrantRef,
  now: number,
  asks?: boolean,
  lastToken?: number,
): MaybePromise<boolean> {
  const left = keepUntil - now;
  const keepFor = left > 0 ? left : undefined;
  const permit = settings.sharing && true;
  return store.release({ key: stored, id, keepFor, permit, asks, lastToken });
}

/** All the grants of a locker that are being ended. */
export class Releases {
  private readonly pending = new Set<Ending>();
  /** Those who wait until nothing is pending. */
  private onSettled: (() => void)[] = [];

  constructor(readonly context: Context) {}

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
    let reply: MaybePromise<boolean>;
    try {
      reply = sent ?? endGrant(this.context, lease, now, asks, lease.lastToken);
    } catch (error) {
      reply = Promise.reject(error);
    }
    if (!isPromiseLike(reply)) return reply;
    const ending = new Ending(this, lease, now);
    this.pending.add(ending);
    return ending.answer(reply);
  }

  /** Frees what might still be ours of a lock that was lost. */
  releaseLost(lease: Lease): MaybePromise<boolean> {
    const freed = this.release(lease, this.context.time.now());
    return freed instanceof Promise ? freed.then(() => false) : false;
  }

  /** Frees a lost lock that a renewal, answered late or not at all, may have prolonged. */
  undo(lease: Lease): void {
    this.end(lease);
  }

  /**
   * Takes back an acquisition whose outcome is unknown or no longer wanted: it may have been granted,
   * or be granted any moment.
   */
  takeBack(grant: GrantRef): void {
    this.end(grant);
  }

  /** Asks once more for all that is under way: an answer may be lost, and there is little time left. */
  hurry(): void {
    for (const ending of this.pending) ending.ask();
  }

  /** Resolves when nothing is under way any more for a grant. */
  async confirmed(id: string): Promise<void> {
    const concerned = [...this.pending].filter(({ grant }) => grant.id === id);
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
    for (const ending of this.pending) ending.finish(false);
  }

  /** One of them has finished. */
  ended(ending: Ending): void {
    this.pending.delete(ending);
    if (this.pending.size > 0 || this.onSettled.length === 0) return;
    const waiting = this.onSettled;
    this.onSettled = [];
    for (const resolve of waiting) resolve();
  }

  private end(grant: GrantRef): void {
    const ending = new Ending(this, grant, this.context.time.now());
    this.pending.add(ending);
    ending.ask();
  }
}
