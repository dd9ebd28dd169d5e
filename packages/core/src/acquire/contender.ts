import type { Releases, Unwanted } from '../release/releases.ts';
import type { LockStoreError } from '../errors.ts';
import { isFresh, type Grant, type Lease } from '../hold/lease.ts';
import { Patience } from './patience.ts';
import type { AcquireReply, MaybePromise } from '../store.ts';
import { CAME_LATE, type StoreCalls } from '../util/store-calls.ts';
import type { Alarm, Time } from '../util/time.ts';
import { REFRESH_EVERY, type Registrations } from './registrations.ts';
import type { Waiter } from './waiter.ts';

/** After a failed attempt, in ms, doubled each time. */
const FIRST_BACKOFF = 50;
const LONGEST_BACKOFF = 1_000;
/** Between attempts on a store that cannot notify, in ms, with decorrelated jitter. */
const SHORTEST_POLL = 20;
const LONGEST_POLL = 500;

/** An attempt that was sent already: what the store answered or will answer. */
export interface Attempt {
  /** Of the acquisition. */
  readonly id: string;
  readonly sentAt: number;
  readonly reply: MaybePromise<AcquireReply>;
  /** Whether the store was asked for a place in the key's queue. */
  readonly waits: boolean;
}

/** A grant of the store's. */
export type Granted = Extract<AcquireReply, { granted: true }>;

/** What contending needs of its locker. */
export interface ContenderHost {
  readonly time: Time;
  readonly calls: StoreCalls;
  readonly registrations: Registrations;
  readonly cleanup: Releases;
  /** Whether the store wakes those who wait. */
  readonly notifies: boolean;
  grantOf(id: string, granted: Granted, sentAt: number): Grant;
  /** Undoes an attempt of a waiter, whatever has become of it or will. */
  takeBack(waiter: Waiter, attempt?: Unwanted): void;
  /** Nobody of this locker waits for a key any more. */
  leaveQueue(stored: string): void;
}

/** The queue that a contender speaks for. */
export interface ContendedQueue {
  readonly host: ContenderHost;
  readonly stored: string;
  readonly head: Waiter | undefined;
  serve(waiter: Waiter, grant: Grant, now: number): void;
  fail(concerned: (waiter: Waiter) => boolean, error: LockStoreError): void;
  /** The first in line waits too now. */
  isBusy(): void;
}

/** A request under way. */
interface Flight {
  readonly waiter: Waiter;
  readonly attempt: Unwanted;
  readonly sentAt: number;
  /** Whether it asks again for a grant that came late. */
  readonly again: boolean;
}

/** A grant of this process that the contender's next request ends. */
interface Predecessor {
  readonly lease: Lease;
  readonly freed: (answer: MaybePromise<boolean>) => void;
}

/**
 * Speaks to the store for the first waiter of a key: tries, waits for a wake-up or a timer, and tries
 * again. At most one request is under way for the waiter that is first now.
 */
export class Contender {
  /** The store's last word: an error, busy, or nothing yet. */
  known: LockStoreError | 'busy' | undefined = undefined;
  private flight: Flight | undefined = undefined;
  private again = false;
  private stopped = false;
  /** Whether the store may have this locker in the key's queue. */
  private registered = false;
  private predecessor: Predecessor | undefined = undefined;
  private alarm: Alarm | undefined = undefined;
  private readonly patience: Patience;
  private backoff = FIRST_BACKOFF;
  private poll = SHORTEST_POLL;

  constructor(private readonly queue: ContendedQueue) {
    this.patience = new Patience(queue.host.time, (tired) => {
      const { known } = this;
      if (known !== undefined && known !== 'busy') queue.fail(tired, known);
    });
  }

  /** Tries now, or again as soon as the request that is under way has been answered. */
  ask(given?: Attempt, again = false): void {
    const { queue, predecessor } = this;
    const { host, head: waiter } = queue;
    if (this.stopped || waiter === undefined) return;
    this.again = this.flight !== undefined;
    if (this.again) return;
    const sentAt = given?.sentAt ?? host.time.now();
    const flight = { waiter, attempt: waiter.attempt, sentAt, again };
    this.flight = flight;
    this.registered = true;
    this.setAlarm(undefined);
    host.calls.send<AcquireReply>({
      phase: 'acquire',
      key: waiter.key,
      timeout: waiter.plan.terms.storeTimeout,
      send: () => given?.reply ?? waiter.ask(true, predecessor?.lease.id),
      answered: (reply) => {
        this.ended(predecessor, reply);
        this.answered(flight, reply);
      },
      failed: (error) => this.failed(flight, error),
      late: (reply) => {
        this.ended(predecessor, reply);
        if (!reply.granted) return;
        // Still wanted: asking again makes it ours.
        if (waiter.wants(flight.attempt.id)) this.ask();
        else host.takeBack(waiter, flight.attempt);
      },
    });
  }

  /**
   * Asks for the first in line, and ends a grant of this process in the same request.
   *
   * @returns whether the grant was there and has been ended
   */
  askInsteadOf(lease: Lease): MaybePromise<boolean> {
    let answer: MaybePromise<boolean> | undefined;
    let resolve: ((freed: MaybePromise<boolean>) => void) | undefined;
    const freed = (known: MaybePromise<boolean>): void => {
      answer = known;
      resolve?.(known);
    };
    this.predecessor = { lease, freed };
    this.ask();
    return answer ?? new Promise((settle) => (resolve = settle));
  }

  /** Tries, unless something is under way that will lead to a try. */
  go(): void {
    if (this.flight === undefined && this.known === undefined) this.ask();
  }

  /** The store's answer to a registration: in how many ms to ask. */
  hint(ms: number): void {
    this.heard();
    if (ms <= 0) this.ask();
    else if (this.flight === undefined) this.askSoon(ms);
  }

  /** The store has failed, in whatever way, at a request that was sent at `sentAt`. */
  unheard(error: LockStoreError, sentAt: number): void {
    if (this.stopped) return;
    const failedBefore = this.known !== undefined && this.known !== 'busy';
    this.known = error;
    if (error.permanent) this.queue.fail(() => true, error);
    else if (!failedBefore) this.patience.begin(sentAt);
  }

  /** A waiter has left the queue, perhaps with a request under way for it. */
  left(waiter: Waiter): void {
    if (this.flight?.waiter === waiter) {
      this.abandonFlight();
      this.ask();
    } else if (waiter.unsure) {
      this.queue.host.takeBack(waiter);
    }
  }

  /** Contends no more: nobody waits, or a holder of this process will pass its grant on. */
  stop(): void {
    const { host, stored } = this.queue;
    this.stopped = true;
    this.setAlarm(undefined);
    this.patience.end();
    this.abandonFlight();
    host.registrations.remove(stored);
    if (this.registered) host.leaveQueue(stored);
    if (this.predecessor !== undefined) {
      const { lease, freed } = this.predecessor;
      this.predecessor = undefined;
      freed(host.cleanup.release(lease, host.time.now()));
    }
  }

  /**
   * Takes back what is under way. The request for it is sent behind the acquire, so that a server
   * that serves in order undoes even a late grant.
   */
  private abandonFlight(): void {
    if (this.flight === undefined) return;
    const { waiter, attempt } = this.flight;
    this.flight = undefined;
    // Not `waiter.attempt`: by now it may ask for the next of its keys.
    this.queue.host.takeBack(waiter, attempt);
  }

  private answered(flight: Flight, reply: AcquireReply): void {
    const { queue } = this;
    const { host, stored } = queue;
    const { waiter, attempt, sentAt } = flight;
    if (this.flight !== flight) {
      // Abandoned meanwhile; what it was granted after all is not wanted.
      if (reply.granted && !waiter.wants(attempt.id)) host.takeBack(waiter, attempt);
      return;
    }
    this.flight = undefined;
    if (!reply.granted) {
      this.heard();
      waiter.waits();
      queue.isBusy();
      if (this.stopped) return;
      // An attempt without an answer may yet be granted, and nothing else would tell of it.
      this.waitAfter(
        Math.min(reply.retryAfter ?? Infinity, waiter.unsure ? REFRESH_EVERY : Infinity),
      );
      return;
    }
    const now = host.time.checkedNow();
    if (!isFresh(sentAt, attempt.terms, now)) {
      this.late(flight);
      return;
    }
    this.registered = false;
    this.heard();
    host.registrations.remove(stored);
    // Those behind it, if it will not serve them, are not registered yet.
    this.known = undefined;
    queue.serve(waiter, host.grantOf(attempt.id, reply, sentAt), now);
  }

  /** A grant that took long is asked for once more, which renews it, or else taken back. */
  private late(flight: Flight): void {
    const { host } = this.queue;
    const { waiter, attempt } = flight;
    if (!flight.again) {
      this.ask(undefined, true);
      return;
    }
    host.takeBack(waiter, attempt);
    this.flight = flight;
    const late = new Error(CAME_LATE);
    this.failed(flight, host.calls.errorFrom('acquire', attempt.key, late));
  }

  private failed(flight: Flight, error: LockStoreError): void {
    if (this.flight !== flight) return;
    this.flight = undefined;
    flight.waiter.unsure = true;
    this.unheard(error, flight.sentAt);
    if (this.stopped || error.permanent) return;
    const { time } = this.queue.host;
    this.askIn(this.backoff * (0.5 + time.random() / 2));
    this.backoff = Math.min(this.backoff * 2, LONGEST_BACKOFF);
  }

  private heard(): void {
    this.known = 'busy';
    this.backoff = FIRST_BACKOFF;
    this.patience.end();
  }

  private waitAfter(retryAfter: number): void {
    const { host, stored } = this.queue;
    if (this.again) {
      this.ask();
    } else if (host.notifies) {
      host.registrations.add(stored, this);
      this.askSoon(retryAfter);
    } else {
      const spread = SHORTEST_POLL + host.time.random() * (this.poll * 3 - SHORTEST_POLL);
      this.poll = Math.min(LONGEST_POLL, spread);
      this.askIn(this.poll);
    }
  }

  /** The store said whether the grant that we replace was still there. */
  private ended(predecessor: Predecessor | undefined, reply: AcquireReply): void {
    if (predecessor === undefined) return;
    if (this.predecessor === predecessor) this.predecessor = undefined;
    predecessor.freed(reply.replaced ?? false);
  }

  /** Later than the next refresh is not worth a timer: that will say anew when to ask. */
  private askSoon(ms: number): void {
    if (ms <= REFRESH_EVERY) this.askIn(ms);
  }

  private askIn(ms: number): void {
    this.setAlarm(this.queue.host.time.after(Math.max(ms, 1), () => this.ask(), true));
  }

  private setAlarm(alarm: Alarm | undefined): void {
    this.queue.host.time.cancel(this.alarm);
    this.alarm = alarm;
  }
}
