import type { Context } from '../context.ts';
import { LockQueueFullError, type LockStoreError } from '../errors.ts';
import { ownerOf, type Grant, type Lease } from '../hold/lease.ts';
import type { MaybePromise } from '../store.ts';
import { LinkedList } from '../util/linked-list.ts';
import type { Attempt } from './attempt.ts';
import { Contender } from './contender.ts';
import { askForMore, type SparePermits } from './spare-permit.ts';
import type { Waiter } from './waiter.ts';

/**
 * Those of this process that wait for one key, first come, first served. It exists while somebody
 * waits; the first in line is spoken for by the one contender that talks to the store, unless the
 * holder is of this process too and will pass its grant on.
 */
export class KeyQueue {
  contender: Contender | undefined = undefined;
  private readonly line = new LinkedList<Waiter>();
  /** Somebody waits and no timer or request of the contender keeps the process alive. */
  private parked = false;

  constructor(
    readonly context: Context,
    readonly stored: string,
  ) {}

  get head(): Waiter | undefined {
    return this.line.first;
  }

  get size(): number {
    return this.line.size;
  }

  /** Whether the store has said, since the last grant, that the first in line must wait. */
  get isHeldUp(): boolean {
    return this.contender === undefined || this.contender.lastWord !== undefined;
  }

  /** Whether another may wait. The first in line does not wait before the store says so. */
  hasRoomFor({ settings }: Waiter): boolean {
    const { maxWaiters } = this.context.settings;
    // Nor do those behind it who may have room beside it.
    if (settings.sharing !== undefined && !this.isHeldUp) return true;
    return this.size < maxWaiters + (this.head?.waiting === false ? 1 : 0);
  }

  /** The first in line, which had been granted the key as far as anybody knew, waits too. */
  headWaits(): void {
    const { maxWaiters } = this.context.settings;
    for (
      let { last } = this.line;
      last !== undefined && this.size > maxWaiters;
      { last } = this.line
    ) {
      const { key } = last;
      this.remove(last);
      last.refuse(new LockQueueFullError({ key, option: 'maxWaiters', limit: maxWaiters }));
    }
  }

  add(waiter: Waiter): void {
    waiter.queued = true;
    this.line.append(waiter);
  }

  /** The first in line has asked already, when nobody was in line. */
  adopt(attempt: Attempt): Contender {
    this.add(attempt.waiter);
    this.contender = new Contender(this, attempt);
    return this.contender;
  }

  /** A waiter gave up: its limit was reached, or it was cancelled. */
  withdraw(waiter: Waiter): void {
    this.remove(waiter);
    this.contender?.left(waiter);
    this.review();
  }

  /** Gives a waiter its grant, and looks after those behind it. */
  serve(waiter: Waiter, grant: Grant, now: number): void {
    this.remove(waiter);
    waiter.grant(grant, now);
    this.review();
  }

  /** The first in line is refused, by the store. */
  refuse(waiter: Waiter, currentLimit: number): void {
    this.remove(waiter);
    waiter.conflict(currentLimit);
    this.review();
  }

  /**
   * Gives the first in line a permit that was asked for in the name of another.
   *
   * @param room as the store told with it
   * @returns whether it wants such a one
   */
  serveLike(waiter: Waiter, grant: Grant, now: number, room: number): boolean {
    const { head } = this;
    if (head === undefined || !head.isLike(waiter)) return false;
    this.remove(head);
    head.grant(grant, now);
    this.contender?.left(head, room);
    this.review();
    return true;
  }

  /** Asks for more permits, for those behind the first in line who want the same as it does, in turn. */
  askForMore(room: number): SparePermits | undefined {
    const { head } = this;
    if (head === undefined) return undefined;
    let count = 0;
    let { next } = head;
    for (; next !== undefined && next.isLike(head) && count < room; { next } = next) count += 1;
    return count === 0 ? undefined : askForMore(this, head, count);
  }

  /** The store cannot serve this key: those in line that `concerned` picks get the error. */
  fail(concerned: (waiter: Waiter) => boolean, error: LockStoreError): void {
    const failed: Waiter[] = [];
    for (let waiter = this.head; waiter !== undefined; waiter = waiter.next) {
      if (concerned(waiter)) failed.push(waiter);
    }
    for (const waiter of failed) {
      this.remove(waiter);
      this.contender?.left(waiter);
      waiter.fail(error);
    }
    this.review();
  }

  /** Sees to it that the first in line is contended for exactly when that is needed. */
  review(): void {
    const { head, context, contender } = this;
    const lease = head === undefined ? undefined : context.held.alone.get(this.stored);
    const parked = lease !== undefined && this.passesOn(lease, head);
    if (parked !== this.parked) {
      this.parked = parked;
      context.queues.park(parked);
    }
    if (head === undefined || parked) {
      this.contender = undefined;
      contender?.stop();
      if (head === undefined) context.queues.forget(this);
    } else if (contender === undefined) {
      this.contender = new Contender(this);
      this.contender.ask();
    } else {
      contender.go();
    }
  }

  /**
   * The holder, of this process, releases. Passes the grant on if that is allowed now, else asks the
   * store for the first in line in the request that ends the grant, unless the store has it queued.
   *
   * @returns whether the grant was passed on or ended; `undefined` if it is still to be ended
   */
  succeed(lease: Lease, now: number): MaybePromise<boolean> | undefined {
    const { head, context } = this;
    if (head === undefined) return undefined;
    if (lease.settings.sharing !== undefined || head.settings.sharing !== undefined)
      return undefined;
    if (this.passesOn(lease, head) && this.mayHandOff(lease, now)) {
      this.handOff(lease, head, now);
      return true;
    }
    if (this.contender !== undefined) return undefined;
    this.contender = new Contender(this);
    return context.releases.release(lease, now, this.contender.askInsteadOf(lease.id));
  }

  /** Whether a holder of this process may pass its grant on to a waiter, by what does not change. */
  private passesOn(lease: Lease, waiter: Waiter | undefined): boolean {
    return this.context.settings.handoff !== undefined && waiter?.canTakeFrom(lease) === true;
  }

  /** What has to be true at the moment of a hand-off (specification 6.3): a fresh grant, a tenure not over. */
  private mayHandOff(
    { anchor, signalPoint, grantedAt, tenure, settings }: Lease,
    now: number,
  ): boolean {
    const { from = grantedAt, spare } = tenure;
    const third = settings.timing.ttl / 3;
    const confirmed = now - anchor;
    return (
      spare > 0 &&
      now - from < (this.context.settings.handoff?.tenure ?? 0) &&
      signalPoint - now >= third &&
      confirmed >= 0 &&
      confirmed <= third
    );
  }

  private handOff(lease: Lease, waiter: Waiter, now: number): void {
    const { id, anchor, grantedAt, renewal } = lease;
    const { from = grantedAt, spare, owner } = lease.tenure;
    const token = lease.token === 0 ? 0 : lease.token + 1;
    const grant = { id, sentAt: anchor, token, tenure: { from, spare: spare - 1, owner }, renewal };
    // Its own request may be under way: another call, which does not wait and so is not in line, held the lock.
    this.contender?.drop(waiter);
    // An earlier one may have been granted without an answer.
    if (waiter.unsure) waiter.takeBack();
    const { events } = this.context;
    if (events.heard('handoff')) {
      const { key } = waiter;
      const { label } = waiter.settings;
      const to = ownerOf(grant);
      events.emit('handoff', { key, keys: [key], label, owner: to, fencingToken: token });
    }
    this.serve(waiter, grant, now);
  }

  private remove(waiter: Waiter): void {
    waiter.queued = false;
    this.line.remove(waiter);
  }
}
