import type { Lock } from '../types.ts';
import type { Releases } from '../release/releases.ts';
import { LockLostError, LockStoreError } from '../errors.ts';
import type { Events } from '../events.ts';
import type { Lease } from './lease.ts';
import { eventOf } from './lock.ts';
import { watch } from './lock-views.ts';
import { begin, byTimeout, dueAt, land, owe, type Renewal } from './renewal.ts';
import type { SlotMap } from '../util/slot-map.ts';
import type { LockStore, MaybePromise, RenewReply, RenewRequest } from '../store.ts';
import { copyOf, type StoreCalls } from '../util/store-calls.ts';
import type { LeaseTiming, LeaseTimings } from './lease-timing.ts';
import type { Alarm, Time } from '../util/time.ts';
import { traceHere, withTrace } from '../util/traces.ts';

/** What renewing needs of its engine. */
interface RenewerHost {
  readonly time: Time;
  readonly calls: StoreCalls;
  readonly store: LockStore;
  readonly events: Events;
  readonly terms: LeaseTimings;
  readonly leases: SlotMap<Lease>;
  readonly cleanup: Releases;
}

/** When a request was sent, when its answer came, and what was renewed by it, if anybody wants to know. */
interface Answer {
  readonly sentAt: number;
  readonly now: number;
  readonly renewed: Set<Lock> | undefined;
}

/**
 * Keeps the leases of a locker: one timer, whatever their number, and one request for all that are
 * due. It also notices leases that end. An error of the store is not a loss: it is tried again until
 * the signal point.
 */
export class Renewer {
  private alarm: Alarm | undefined = undefined;
  private alarmAt = Infinity;
  private stopped = false;

  constructor(private readonly engine: RenewerHost) {}

  /** Looks after a lease from now on, or after a change to it. */
  schedule(lease: Lease): void {
    // Most often there is an alarm before anything has to be done for a new lease.
    const idleUntil = Math.min(lease.anchor + lease.plan.terms.idleFor, lease.maxHoldAt);
    if (this.alarmAt <= idleUntil && lease.renewal === undefined) return;
    const at = this.nextActionOf(lease);
    if (at < this.alarmAt) this.arm(at);
  }

  /** Checks every lease now: the store may have been away, or this machine asleep. */
  verify(): void {
    const now = this.engine.time.now();
    for (const lease of this.engine.leases.values()) owe(lease, now);
    if (this.engine.leases.size > 0 && now < this.alarmAt) this.arm(now);
  }

  /** `Lock.extend()`. */
  async extend(lock: Lock, leases: readonly Lease[], ttl: number | undefined): Promise<void> {
    const terms = ttl === undefined ? (leases[0] as Lease).plan.terms : this.engine.terms.for(ttl);
    const trace = traceHere();
    lock.assertHeld();
    try {
      await this.renewNow(leases, terms);
    } catch (error) {
      throw error instanceof LockStoreError ? withTrace(copyOf(error, lock.key), trace) : error;
    }
    lock.assertHeld();
  }

  /**
   * Renews now, after what is under way for these leases.
   *
   * @throws LockStoreError if the store did not confirm all; the leases are held all the same
   */
  async renewNow(leases: readonly Lease[], terms: LeaseTiming): Promise<void> {
    const busy = leases.filter(({ renewal }) => renewal?.inFlight === true);
    const held = leases.filter((lease) => !busy.includes(lease) && lease.isHeld());
    const later = busy.map(async (lease) => {
      await landed(lease);
      await this.renewNow([lease], terms);
    });
    await Promise.all([this.renewTogether(held, terms), ...later]);
  }

  stop(): void {
    this.stopped = true;
    this.engine.time.cancel(this.alarm);
    this.alarm = undefined;
  }

  private renewTogether(leases: readonly Lease[], terms: LeaseTiming): Promise<void> | undefined {
    if (leases.length === 0) return undefined;
    return new Promise((resolve, reject) => {
      const renewals = leases.map((lease) => begin(lease, terms, true));
      this.send(renewals, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  private dueAt(lease: Lease): number {
    return dueAt(lease, this.engine.store.capabilities.checkEvery);
  }

  private nextActionOf(lease: Lease): number {
    return Math.min(this.dueAt(lease), lease.signalPoint, lease.maxHoldAt);
  }

  private arm(at: number): void {
    const { time } = this.engine;
    // A machine that has just woken up shows it here at the latest.
    const now = time.checkedNow();
    time.cancel(this.alarm);
    this.alarm = undefined;
    this.alarmAt = at;
    if (at === Infinity || this.stopped) return;
    // Held locks do not keep a process alive.
    this.alarm = time.after(at - now, () => this.tick(), false);
  }

  private tick(): void {
    const { leases, time } = this.engine;
    this.alarmAt = Infinity;
    const now = time.checkedNow();
    let next = Infinity;
    let due = false;
    // What is due soon is renewed with what is due, so that renewals fall together.
    const batch: Lease[] = [];
    for (const lease of leases.values()) {
      if (!lease.isHeld(now)) continue;
      const at = this.dueAt(lease);
      due ||= at <= now;
      if (at <= now || isDueSoon(lease, now)) batch.push(lease);
      else next = Math.min(next, at, lease.signalPoint, lease.maxHoldAt);
    }
    if (due) this.renew(batch);
    for (const lease of batch) {
      if (lease.ended === undefined) next = Math.min(next, this.nextActionOf(lease));
    }
    if (next < this.alarmAt) this.arm(next);
  }

  private renew(leases: readonly Lease[]): void {
    const batch: Renewal[] = [];
    for (const lease of leases) {
      // A loss may have released it, and whoever heard of it may have renewed it.
      if (lease.ended !== undefined || lease.renewal?.inFlight === true) continue;
      const { handle } = lease;
      if (handle !== undefined) watch(handle);
      batch.push(begin(lease, lease.plan.terms, lease.renews));
    }
    if (batch.length > 0) this.send(batch, () => {});
  }

  /** One request, whose answer is waited for as long as each ttl allows. */
  private send(batch: readonly Renewal[], done: (error?: LockStoreError) => void): void {
    const { store, calls, time } = this.engine;
    const sentAt = time.now();
    const requests = batch.map(({ lease, terms, prolongs }): RenewRequest => {
      const { stored, id, plan } = lease;
      return { key: stored, id, owner: plan.storeOwner ?? id, ttl: prolongs ? terms.ttl : 0 };
    });
    let replies: MaybePromise<readonly RenewReply[]>;
    try {
      replies = store.renew(requests);
    } catch (error) {
      replies = Promise.reject(error);
    }
    const key = batch.length === 1 ? (batch[0] as Renewal).lease.key : undefined;
    for (const [timeout, places] of byTimeout(batch)) {
      const settle = (answers: readonly RenewReply[]): void => {
        done(this.settleAll(batch, places, answers, sentAt));
      };
      calls.send<readonly RenewReply[]>({
        phase: 'renew',
        key,
        timeout,
        send: () => replies,
        answered: settle,
        failed: (error) => settle(batch.map(() => error)),
        late: settle,
      });
    }
  }

  /** @returns the first error, if the store could not say of all */
  private settleAll(
    batch: readonly Renewal[],
    places: readonly number[],
    replies: readonly RenewReply[],
    sentAt: number,
  ): LockStoreError | undefined {
    const { events, time } = this.engine;
    // A lock of several keys is told of once.
    const renewed = events.heard('renewed') ? new Set<Lock>() : undefined;
    const answer = { sentAt, now: time.checkedNow(), renewed };
    let failed: LockStoreError | undefined;
    for (const place of places) {
      const error = this.settle(batch[place] as Renewal, replies[place], answer);
      failed ??= error;
    }
    for (const lock of renewed ?? []) {
      if (lock.state === 'held') events.emit('renewed', eventOf(lock));
    }
    return failed;
  }

  /** @returns the error if the store could not say */
  private settle(
    renewal: Renewal,
    reply: RenewReply | undefined,
    answer: Answer,
  ): LockStoreError | undefined {
    const { engine } = this;
    const { lease, prolongs } = renewal;
    // Meanwhile it may have passed to another holder of this process.
    const current = lease.ended === undefined ? lease : engine.leases.get(lease.stored);
    const holder = current?.id === lease.id ? current : lease;
    land(holder, renewal);
    let failed: LockStoreError | undefined;
    if (reply === 'renewed') {
      if (holder === current) this.confirm(holder, renewal, answer);
      if (prolongs && holder.handle !== undefined) answer.renewed?.add(holder.handle);
    } else if (reply === undefined || reply instanceof Error) {
      failed = engine.calls.errorFrom('renew', lease.key, reply);
      const { retryEvery } = holder.plan.terms;
      if (holder === current) owe(holder, answer.sentAt + retryEvery);
    } else {
      if (holder === current) holder.lose(reply);
      return undefined;
    }
    if (holder === current && holder.ended === undefined) this.schedule(holder);
    // What has expired meanwhile may have been prolonged all the same, and nobody would release it.
    else if (prolongs && hasExpired(holder)) engine.cleanup.undo(holder);
    return failed;
  }

  private confirm(held: Lease, renewal: Renewal, { sentAt, now }: Answer): void {
    const { engine } = this;
    const { checkEvery } = engine.store.capabilities;
    if (renewal.prolongs) {
      if (!held.confirm(sentAt, renewal.terms, now)) return;
    } else if (checkEvery !== undefined) {
      owe(held, sentAt + checkEvery);
    }
    // A verification that was asked for while this was under way is still owed.
    if (renewal.dueAt !== undefined && renewal.dueAt > sentAt) owe(held, engine.time.now());
  }
}

/** Until what is under way for a lease has its answer. */
function landed({ renewal }: Lease): Promise<void> {
  return new Promise((resolve) => {
    if (renewal === undefined) resolve();
    else (renewal.idle ??= []).push(resolve);
  });
}

function isDueSoon({ renewal, renews, anchor, plan }: Lease, now: number): boolean {
  return renewal === undefined && renews && anchor + plan.terms.renewFrom <= now;
}

function hasExpired({ ended }: Lease): boolean {
  return ended instanceof LockLostError && ended.reason === 'expired';
}
