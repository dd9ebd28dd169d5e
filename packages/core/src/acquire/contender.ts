import { LockStoreError } from '../errors.ts';
import type { Grant } from '../hold/lease.ts';
import { RESERVATION, type MaybePromise } from '../store.ts';
import { Backoff } from '../util/backoff.ts';
import { isPromiseLike } from '../util/promises.ts';
import type { Alarm } from '../util/time.ts';
import { Attempt, type AttemptListener, type Sent } from './attempt.ts';
import type { KeyQueue } from './key-queue.ts';
import { OUTAGE_LIMIT, OutageLimit } from './outage-limit.ts';
import { REFRESH_EVERY } from './registrations.ts';
import type { SparePermits } from './spare-permit.ts';
import type { Waiter } from './waiter.ts';

/** Between attempts on a store that cannot notify, in ms, with decorrelated jitter. */
const SHORTEST_POLL = 20;
const LONGEST_POLL = 500;

/** In ms: a key that stays busy for longer is held. One with permits may be reserved for two, in turn. */
const RESERVED_AT_MOST = 2 * RESERVATION;

/**
 * - `idle`: it has not asked for the waiter that is first now.
 * - `asking`: a request is under way.
 * - `asking, then again`: so it is, and meanwhile there is news: the next answer may be another one.
 * - `waiting`: the key is busy. A wake-up, a hint or a timer makes it ask.
 * - `failing`: the store failed. A timer makes it ask.
 * - `stopped`: for good.
 */
type State = 'idle' | 'asking' | 'asking, then again' | 'waiting' | 'failing' | 'stopped';

/**
 * - `in line`: the store calls it when it has the key reserved for it.
 * - `called`: it was called, and asks.
 * - `late`: when that request came, the key was reserved for another. With a store that is far away this
 *   happens to everybody each time, and nobody would be granted a key for which all wait to be called. So
 *   it asks at random times, until it is granted the key, or hears that another holds it.
 */
type Turn = 'in line' | 'called' | 'late';

/**
 * Speaks to the store for the first waiter of a key: decides when it asks. At most one request is under
 * way, for the waiter that is first now.
 */
export class Contender implements AttemptListener {
  /** What the store has said of the key since the last grant: an error, busy, or nothing yet. */
  lastWord: LockStoreError | 'busy' | undefined = undefined;
  private state: State = 'idle';
  private turn: Turn = 'in line';
  private attempt: Attempt | undefined = undefined;
  /** Whether the store may have this locker in the key's queue. */
  private registered = false;
  /** How much more weight the store had room for beside the last permit. */
  private room = 0;
  /** What was asked for in addition: whoever is first next may be served by it. */
  private spares: SparePermits | undefined = undefined;
  /** Whether {@link go} is at it. */
  private going = false;
  private alarm: Alarm | undefined = undefined;
  private outage: OutageLimit | undefined = undefined;
  private readonly backoff = new Backoff();
  private poll = SHORTEST_POLL;

  /** @param attempt of the first waiter, if it has asked already */
  constructor(
    private readonly queue: KeyQueue,
    attempt?: Attempt,
  ) {
    if (attempt === undefined) return;
    attempt.listener = this;
    this.attempt = attempt;
    this.state = 'asking';
    this.registered = true;
  }

  /**
   * Asks now, or as soon as the request that is under way has been answered.
   *
   * @param sent the request, if it was sent already
   */
  ask(sent?: Sent): void {
    const { state, queue } = this;
    const waiter = queue.head;
    if (state === 'stopped' || waiter === undefined) return;
    if (state === 'asking' || state === 'asking, then again') {
      this.state = 'asking, then again';
      return;
    }
    this.setAlarm(undefined);
    this.state = 'asking';
    this.registered = true;
    this.attempt = new Attempt(waiter, this, true);
    this.attempt.start(sent);
    const { room } = this;
    this.room = 0;
    // Most often it is granted, and then those behind it need not wait for the answer.
    if (room > 1 && this.attempt !== undefined) this.spares = queue.askForMore(room - 1);
  }

  /**
   * Asks for the first in line, and ends a grant of this process in the same request.
   *
   * @returns whether the grant was there and has been ended
   */
  askInsteadOf(id: string): MaybePromise<boolean> {
    const { context, head } = this.queue;
    const sentAt = context.time.now();
    const reply = (head as Waiter).ask(true, id);
    this.ask({ sentAt, registers: true, reply });
    if (!isPromiseLike(reply)) return reply.replaced ?? false;
    return reply.then(({ replaced = false }) => replaced);
  }

  /** Asks, unless something is under way that will lead to that; again while answers come at once. */
  go(): void {
    if (this.going) return;
    this.going = true;
    while (this.state === 'idle' && !this.awaitsSpares && this.queue.head !== undefined) this.ask();
    this.going = false;
  }

  /** The store has the key reserved for it. */
  call(): void {
    if (this.turn !== 'in line') return;
    this.turn = 'called';
    this.ask();
  }

  /** The store's answer to a registration: in how many ms to ask. */
  hint(ms: number): void {
    this.heard();
    if (ms <= 0) this.call();
    else if (this.attempt === undefined && this.turn !== 'late') this.askSoon(ms);
  }

  /** The store has failed, in whatever way, at a request that was sent at `sentAt`. */
  unheard(error: LockStoreError, sentAt: number): void {
    const { queue } = this;
    if (this.state === 'stopped') return;
    this.lastWord = error;
    if (error.permanent) {
      queue.fail(() => true, error);
      return;
    }
    this.outage ??= new OutageLimit(queue.context.time, sentAt, (concerned) => {
      const message = `The store has failed for ${OUTAGE_LIMIT / 1_000} s without a break (acquire).`;
      const { key } = error;
      const last = this.lastWord instanceof LockStoreError ? this.lastWord : error;
      const cause = last.cause ?? last;
      queue.fail(concerned, new LockStoreError(message, { phase: 'acquire', key, cause }));
    });
  }

  /**
   * A waiter has left the queue, perhaps with a request under way for it.
   *
   * @param room as the store told, if it has left with a permit that was asked for in addition
   */
  left(waiter: Waiter, room?: number): void {
    if (room !== undefined) this.room = room;
    if (this.drop(waiter)) {
      if (!this.awaitsSpares) this.ask();
    } else if (waiter.unsure) {
      waiter.takeBack();
    }
  }

  /**
   * Abandons the request for a waiter, if one is under way.
   *
   * @returns whether one was
   */
  drop(waiter: Waiter): boolean {
    if (this.attempt?.waiter !== waiter) return false;
    this.abandonAttempt();
    return true;
  }

  /** Contends no more: nobody waits, or a holder of this process will pass its grant on. */
  stop(): void {
    const { context, stored } = this.queue;
    this.abandonAttempt();
    this.state = 'stopped';
    this.setAlarm(undefined);
    this.endOutage();
    context.queues.registrations.remove(stored);
    if (this.registered) context.queues.leaveStore(stored);
  }

  granted({ waiter }: Attempt, grant: Grant, now: number, room: number): void {
    const { queue } = this;
    this.room = room;
    this.leftLine();
    // Those behind it, if it will not serve them, are not registered yet.
    this.lastWord = undefined;
    queue.serve(waiter, grant, now);
  }

  busy({ waiter }: Attempt, retryAfter = Infinity): void {
    const again = this.state === 'asking, then again';
    this.attempt = undefined;
    this.state = 'waiting';
    this.heard();
    waiter.waits();
    this.queue.headWaits();
    if (again) {
      this.ask();
      return;
    }
    this.turn = this.turn !== 'in line' && retryAfter <= RESERVED_AT_MOST ? 'late' : 'in line';
    if (this.turn === 'late') this.waitFor(this.queue.context.time.random() * REFRESH_EVERY);
    // An attempt without an answer may yet be granted, and nothing else would tell of it.
    else this.waitFor(waiter.unsure ? Math.min(retryAfter, REFRESH_EVERY) : retryAfter);
  }

  conflicts({ waiter }: Attempt, currentLimit: number): void {
    this.leftLine();
    this.queue.refuse(waiter, currentLimit);
  }

  failed({ waiter, sentAt }: Attempt, error: LockStoreError): void {
    this.attempt = undefined;
    this.state = 'failing';
    this.turn = 'in line';
    waiter.unsure = true;
    this.unheard(error, sentAt);
    if (!error.permanent) this.askIn(this.backoff.next(this.queue.context.time));
  }

  grantedLate(): void {
    this.ask();
  }

  private get awaitsSpares(): boolean {
    return this.spares !== undefined && this.spares.left > 0;
  }

  /** The store has answered, and has it in the key's queue no more. */
  private leftLine(): void {
    const { context, stored } = this.queue;
    this.attempt = undefined;
    this.state = 'idle';
    this.turn = 'in line';
    this.registered = false;
    this.heard();
    context.queues.registrations.remove(stored);
  }

  private abandonAttempt(): void {
    const { attempt } = this;
    if (attempt === undefined) return;
    this.attempt = undefined;
    this.state = 'idle';
    this.turn = 'in line';
    attempt.abandon();
  }

  private heard(): void {
    this.lastWord = 'busy';
    this.backoff.reset();
    this.endOutage();
  }

  private endOutage(): void {
    this.outage?.end();
    this.outage = undefined;
  }

  private waitFor(retryAfter: number): void {
    const { context, stored } = this.queue;
    if (context.queues.notifies) {
      context.queues.registrations.add(stored, this);
      this.askSoon(retryAfter);
    } else {
      const spread = SHORTEST_POLL + context.time.random() * (this.poll * 3 - SHORTEST_POLL);
      this.poll = Math.min(LONGEST_POLL, spread);
      this.askIn(this.poll);
    }
  }

  /** Later than the next refresh is not worth a timer: that will say anew when to ask. */
  private askSoon(ms: number): void {
    if (ms <= REFRESH_EVERY) this.askIn(ms);
  }

  private askIn(ms: number): void {
    this.setAlarm(this.queue.context.time.after(Math.max(ms, 1), () => this.ask(), true));
  }

  private setAlarm(alarm: Alarm | undefined): void {
    this.queue.context.time.cancel(this.alarm);
    this.alarm = alarm;
  }
}
