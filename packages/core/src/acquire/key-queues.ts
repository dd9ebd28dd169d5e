import type { Context } from '../context.ts';
import { LockQueueFullError, type LockStoreError } from '../errors.ts';
import type { Grant, Tenure } from '../hold/lease.ts';
import { LinkedList } from '../util/linked-list.ts';
import { SlotMap } from '../util/slot-map.ts';
import { limitOf, type LockSettings } from '../options.ts';
import type { Alarm } from '../util/time.ts';
import { Traces } from '../util/traces.ts';
import type { Acquisition } from './acquisition.ts';
import { Attempt, type AttemptListener, type Granted, type Sent } from './attempt.ts';
import type { KeyAcquisition } from './key-acquisition.ts';
import { KeyQueue } from './key-queue.ts';
import { Registrations } from './registrations.ts';
import type { Waiter } from './waiter.ts';

/** ms for telling the store that nobody waits any more. */
const LEAVE_TIMEOUT = 2_000;

/** Lets those in who want a lock: at once, by a single attempt, or through the key's queue. */
export class KeyQueues implements AttemptListener {
  /** All calls of this locker that have neither a lock nor an error yet. */
  readonly pending = new LinkedList<Acquisition>();
  /** How many of them wait, for whatever key. */
  waiting = 0;
  readonly traces = new Traces();
  readonly registrations: Registrations;
  /** Whether the store wakes those who wait. */
  readonly notifies: boolean;
  /** Those who wait, by stored key. */
  readonly byKey = new SlotMap<KeyQueue>();
  /** By stored key, who asks the store while nobody else of this process wants the key. */
  readonly alone = new SlotMap<Attempt | KeyAcquisition>();
  /** The same for all but a few grants, and so one object. */
  private firstTenure: Tenure = { from: undefined, spare: 0 };
  private parkedKeys = 0;
  private keepAlive: Alarm | undefined = undefined;

  constructor(private readonly context: Context) {
    this.registrations = new Registrations(context);
    this.notifies = context.store.capabilities.wakeUp === 'notify';
  }

  /** How many keys are asked or waited for. */
  get size(): number {
    return this.byKey.size + this.alone.size;
  }

  /** How many of this process wait for a key. */
  waitersFor(stored: string): number {
    return this.alone.has(stored) ? 1 : (this.byKey.get(stored)?.size ?? 0);
  }

  /** The first of them; the others follow it. */
  firstFor(stored: string): Waiter | undefined {
    return this.alone.get(stored)?.waiter ?? this.byKey.get(stored)?.head;
  }

  /** Whether one more may wait: who may not is not to take a place in the store's queue either. */
  mayWait({ wait }: LockSettings): boolean {
    const { maxWaiters, maxWaiting } = this.context.settings;
    return wait > 0 && maxWaiters > 0 && this.waiting < maxWaiting;
  }

  /** Whether somebody of this process is before us, or holds a key alone. */
  isTaken(stored: string, { sharing, wait }: LockSettings): boolean {
    if (sharing !== undefined && wait === 0) {
      // Those before us may have room beside them: only the store's word makes the key busy.
      if (this.byKey.get(stored)?.isHeldUp === true) return true;
    } else if (this.byKey.size > 0 && this.byKey.has(stored)) {
      return true;
    } else if (this.alone.size > 0 && this.alone.has(stored)) {
      return true;
    }
    // By the clock: after a blocked event loop nobody may have noticed yet that a lease is over.
    return this.context.held.alone.get(stored)?.isHeld() === true;
  }

  /**
   * Starts a waiter on its way: a single attempt, or a place in line.
   *
   * @param sent its first request, if it was sent already
   * @param taken see {@link isTaken}
   */
  request(
    waiter: Waiter,
    sent?: Sent,
    taken = sent === undefined && this.isTaken(waiter.stored, waiter.settings),
  ): void {
    const { settings, stored } = waiter;
    // Past those in line only goes an owner, to take over what is its own.
    if (taken && settings.owner === undefined) {
      this.foundBusy(waiter);
      return;
    }
    const alone = sent?.registers ?? (!taken && this.mayWait(settings));
    const attempt = new Attempt(waiter, this, alone);
    if (alone) this.alone.set(stored, attempt);
    waiter.attempt = attempt;
    attempt.start(sent);
  }

  /**
   * What the store granted, at a request that was sent at `sentAt`.
   *
   * @param owner what the store knows as the owner, where nobody gave one and it is not the id
   */
  grantOf(id: string, { token, tokens }: Granted, sentAt: number, owner?: string): Grant {
    const most = this.context.tokens;
    const spare = (token === 0 ? most : Math.min(most, tokens)) - 1;
    if (owner !== undefined)
      return { id, sentAt, token, tenure: { from: undefined, spare, owner } };
    if (this.firstTenure.spare !== spare) this.firstTenure = { from: undefined, spare };
    return { id, sentAt, token, tenure: this.firstTenure };
  }

  /** A waiter wants no more. */
  withdraw(waiter: Waiter): void {
    const { attempt, stored } = waiter;
    if (waiter.queued) {
      this.byKey.get(stored)?.withdraw(waiter);
    } else if (attempt !== undefined) {
      this.settled(attempt);
      attempt.abandon();
      if (attempt.registers) this.leaveStore(stored);
    }
  }

  /** What the store has said of the key since this waiter asked. */
  lastWordFor(waiter: Waiter): LockStoreError | 'busy' | undefined {
    if (waiter.attempt?.registers === true) return undefined;
    const contender = this.byKey.get(waiter.stored)?.contender;
    return contender === undefined ? 'busy' : contender.lastWord;
  }

  /** The store woke this locker for a key. */
  woken(stored: string): void {
    const contender = this.byKey.get(stored)?.contender ?? this.openFor(stored)?.contender;
    if (contender === undefined) this.leaveStore(stored);
    else contender.call();
  }

  /** Nobody of this locker waits for a key any more. */
  leaveStore(stored: string): void {
    const { store, client, settings, calls } = this.context;
    if (!this.notifies || store.leave === undefined) return;
    calls.send<void>({
      phase: 'release',
      timeout: settings.storeTimeout ?? LEAVE_TIMEOUT,
      send: () => store.leave?.(client, stored),
      answered: () => {},
      // The registration runs out by itself.
      failed: () => {},
    });
  }

  /** Nobody is in line. */
  forget(queue: KeyQueue): void {
    if (this.byKey.get(queue.stored) === queue) this.byKey.delete(queue.stored);
  }

  /** Somebody waits, or nobody any more, without a timer or a request that keeps the process alive. */
  park(parked: boolean): void {
    const { time } = this.context;
    this.parkedKeys += parked ? 1 : -1;
    if (this.parkedKeys > 0) {
      this.keepAlive ??= time.after(Infinity, () => {}, true);
    } else {
      time.cancel(this.keepAlive);
      this.keepAlive = undefined;
    }
  }

  // The outcome of an attempt outside of a queue.

  granted(attempt: Attempt, grant: Grant, now: number): void {
    this.settled(attempt);
    attempt.waiter.grant(grant, now);
  }

  busy(attempt: Attempt, retryAfter: number | undefined): void {
    this.settled(attempt);
    if (attempt.registers) this.open(attempt).contender?.busy(attempt, retryAfter);
    else this.foundBusy(attempt.waiter);
  }

  conflicts(attempt: Attempt, currentLimit: number): void {
    const { waiter } = attempt;
    this.settled(attempt);
    waiter.conflict(currentLimit);
  }

  failed(attempt: Attempt, error: LockStoreError): void {
    const { waiter } = attempt;
    this.settled(attempt);
    if (attempt.registers) {
      this.open(attempt).contender?.failed(attempt, error);
      return;
    }
    waiter.takeBack(attempt.id);
    if (waiter.settings.wait === 0 || error.permanent) waiter.fail(error);
    else this.lineUp(waiter);
  }

  /** Only a waiter in a queue still wants what has failed. */
  grantedLate(attempt: Attempt): void {
    attempt.waiter.takeBack(attempt.id);
  }

  private settled(attempt: Attempt): void {
    const { waiter } = attempt;
    waiter.attempt = undefined;
    if (this.alone.get(waiter.stored) === attempt) this.alone.vacate(waiter.stored);
  }

  /** A waiter found its key busy. */
  private foundBusy(waiter: Waiter): void {
    const other = this.otherLimitThan(waiter);
    if (other !== undefined) {
      waiter.conflict(other);
      return;
    }
    if (waiter.settings.wait > 0) this.lineUp(waiter);
    else waiter.busy();
  }

  /** The limit of those of this process who hold a key or wait for it, if it is not that of a waiter. */
  private otherLimitThan({ stored, settings }: Waiter): number | undefined {
    const limit = limitOf(settings);
    const lease = this.context.held.any(stored);
    // Whether it is still held is of interest only where it would be in the way: to look costs two clocks.
    if (lease !== undefined && limitOf(lease.settings) === limit) return undefined;
    const known = lease?.isHeld() === true ? lease : this.firstFor(stored);
    const current = known && limitOf(known.settings);
    return current === limit ? undefined : current;
  }

  private lineUp(waiter: Waiter): void {
    const { stored } = waiter;
    const before = this.byKey.get(stored) ?? this.openFor(stored);
    const full = this.fullFor(waiter, before);
    if (full !== undefined) {
      waiter.refuse(full);
      return;
    }
    const queue = before ?? this.add(stored);
    queue.add(waiter);
    waiter.waits();
    if (queue.size === 1) queue.review();
  }

  /** Why one more may not wait. One that waits already, for another of its keys, has its place. */
  private fullFor(waiter: Waiter, queue: KeyQueue | undefined): LockQueueFullError | undefined {
    const { key } = waiter;
    const { maxWaiters, maxWaiting } = this.context.settings;
    if (queue === undefined ? maxWaiters === 0 : !queue.hasRoomFor(waiter)) {
      return new LockQueueFullError({ key, option: 'maxWaiters', limit: maxWaiters });
    }
    if (waiter.waiting || this.waiting < maxWaiting) return undefined;
    return new LockQueueFullError({ key, option: 'maxWaiting', limit: maxWaiting });
  }

  /** The queue behind the one who asks alone, if there is one. */
  private openFor(stored: string): KeyQueue | undefined {
    const attempt = this.alone.get(stored)?.asAttempt();
    if (attempt === undefined) return undefined;
    this.settled(attempt);
    return this.open(attempt);
  }

  /** Whoever asked alone is the first in line. */
  private open(attempt: Attempt): KeyQueue {
    const queue = this.add(attempt.waiter.stored);
    queue.adopt(attempt);
    return queue;
  }

  private add(stored: string): KeyQueue {
    const queue = new KeyQueue(this.context, stored);
    this.byKey.set(stored, queue);
    return queue;
  }
}
