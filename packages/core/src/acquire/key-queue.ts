import { LinkedList } from '../util/linked-list.ts';
import { Contender, type Attempt, type ContendedQueue, type ContenderHost } from './contender.ts';
import { LockQueueFullError, type LockStoreError } from '../errors.ts';
import type { Events } from '../events.ts';
import { ownerOf, type Grant, type Lease } from '../hold/lease.ts';
import type { HandoffBounds } from '../options.ts';
import type { SlotMap } from '../util/slot-map.ts';
import type { MaybePromise } from '../store.ts';
import type { Waiter } from './waiter.ts';

/** What a queue needs of its locker. */
export interface QueueHost extends ContenderHost {
  readonly events: Events;
  readonly leases: SlotMap<Lease>;
  /** Absent: nothing is passed on within the process. */
  readonly handoff: HandoffBounds | undefined;
  /** How many may wait for one key. */
  readonly maxWaiters: number;
  /** Somebody waits, or nobody any more, without a timer or a request that keeps the process alive. */
  park(parked: boolean): void;
  /** Nobody is in line. */
  forget(queue: KeyQueue): void;
}

/**
 * Those of this process that wait for one key, first come, first served. It exists while somebody
 * waits; the first in line is spoken for by the one contender that talks to the store, unless the
 * holder is of this process too and will pass its grant on.
 */
export class KeyQueue implements ContendedQueue {
  contender: Contender | undefined = undefined;
  private readonly line = new LinkedList<Waiter>();
  /** Somebody waits and no timer or request of the contender keeps the process alive. */
  private parked = false;

  constructor(
    readonly host: QueueHost,
    readonly stored: string,
  ) {}

  get head(): Waiter | undefined {
    return this.line.first;
  }

  get size(): number {
    return this.line.size;
  }

  /** Whether another may wait. The first in line does not wait before the store says so. */
  get hasRoom(): boolean {
    return this.size < this.host.maxWaiters + (this.head?.waiting === false ? 1 : 0);
  }

  /** The first in line, which had been granted the key as far as anybody knew, waits too. */
  isBusy(): void {
    const { host } = this;
    const { last } = this.line;
    if (last === undefined || this.size <= host.maxWaiters) return;
    const { key } = last;
    last.refused(new LockQueueFullError({ key, option: 'maxWaiters', limit: host.maxWaiters }));
  }

  add(waiter: Waiter): void {
    waiter.queued = true;
    this.line.append(waiter);
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

  /** An attempt that was made before anybody was in line goes on as its contender's. */
  contend(attempt: Attempt): void {
    this.contender = new Contender(this);
    this.contender.ask(attempt);
  }

  /** Sees to it that the first in line is contended for exactly when that is needed. */
  review(): void {
    const { head, host, contender } = this;
    const lease = head === undefined ? undefined : host.leases.get(this.stored);
    const parked = lease !== undefined && this.passesOn(lease, head);
    if (parked !== this.parked) {
      this.parked = parked;
      host.park(parked);
    }
    if (head === undefined || parked) {
      this.contender = undefined;
      contender?.stop();
      if (head === undefined) host.forget(this);
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
    const { head, host } = this;
    if (head === undefined) return undefined;
    if (this.passesOn(lease, head) && this.mayHandOff(lease, now)) {
      this.handOff(lease, head, now);
      return true;
    }
    if (this.contender !== undefined) return undefined;
    this.contender = new Contender(this);
    return host.cleanup.limited(this.contender.askInsteadOf(lease));
  }

  /** Whether a holder of this process may pass its grant on to a waiter, by what does not change. */
  private passesOn(lease: Lease, waiter: Waiter | undefined): boolean {
    return this.host.handoff !== undefined && waiter?.canTakeFrom(lease) === true;
  }

  /** What has to be true at the moment of a hand-off, contract 6.3. */
  private mayHandOff(
    { anchor, signalPoint, grantedAt, tenure, plan }: Lease,
    now: number,
  ): boolean {
    const { from = grantedAt, spare } = tenure;
    const third = plan.terms.ttl / 3;
    const confirmed = now - anchor;
    return (
      spare > 0 &&
      now - from < (this.host.handoff?.tenure ?? 0) &&
      signalPoint - now >= third &&
      confirmed >= 0 &&
      confirmed <= third
    );
  }

  private handOff(lease: Lease, waiter: Waiter, now: number): void {
    const { id, anchor, grantedAt, renewal } = lease;
    const { from = grantedAt, spare } = lease.tenure;
    const token = lease.token === 0 ? 0 : lease.token + 1;
    const grant = { id, sentAt: anchor, token, tenure: { from, spare: spare - 1 }, renewal };
    // An earlier attempt of its own may have been granted without an answer.
    if (waiter.unsure) this.host.takeBack(waiter);
    const { events } = this.host;
    if (events.heard('handoff')) {
      const { key } = waiter;
      const { label } = waiter.plan;
      const owner = ownerOf(grant);
      events.emit('handoff', { key, keys: [key], label, owner, fencingToken: token });
    }
    this.serve(waiter, grant, now);
  }

  private remove(waiter: Waiter): void {
    waiter.queued = false;
    this.line.remove(waiter);
  }
}
