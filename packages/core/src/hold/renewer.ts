import type { Context } from '../context.ts';
import type { Lock } from '../types.ts';
import { LockLostError, LockStoreError } from '../errors.ts';
import type { Lease } from './lease.ts';
import { eventOf } from './lock-events.ts';
import { watch } from './lock-views.ts';
import { copyOf } from '../util/store-calls.ts';
import { traceHere, withTrace } from '../util/traces.ts';
import { begin, byTimeout, dueAt, land, owe, type Renewal } from './renewal.ts';
import type { MaybePromise, RenewReply, RenewRequest } from '../store.ts';
import type { LeaseTiming } from './lease-timing.ts';
import type { Alarm } from '../util/time.ts';

/**
 * When a request was sent, when its answer came, and, if anybody wants to know, what was renewed by it
 * with how many ms to spare.
 */
interface Answer {
  readonly sentAt: number;
  readonly now: number;
  readonly renewed: Map<Lock, number> | undefined;
}

/** A lease for which something is to be done at a certain time. */
interface Due {
  readonly at: number;
  readonly lease: Lease;
}

/**
 * Who ends, in ms from a look at all leases, is found by it: many that are not renewed end one by one,
 * and to look at all each time would take a time that grows with the square of their number.
 */
const SOON = 250;

/**
 * Keeps the leases of a locker: one timer, whatever their number, and one request for all that are
 * due. It also notices leases that end. An error of the store is not a loss: it is tried again until
 * the signal point.
 */
export class Renewer {
  private alarm: Alarm | undefined = undefined;
  private alarmAt = Infinity;
  /** Before this, something is to be done for none but those in `soon`. */
  private lookAt = Infinity;
  /** The last one first. Those that were released meanwhile are still in it. */
  private soon: Due[] = [];
  private stopped = false;

  constructor(private readonly context: Context) {}

  /** Looks after a lease from now on, or after a change to it. */
  schedule(lease: Lease): void {
    const { timing, maxHold } = lease.settings;
    // Most often there is an alarm before anything has to be done for a new lease.
    const idleUntil = lease.anchor + Math.min(timing.idleFor, maxHold);
    if (this.lookAt <= idleUntil && lease.renewal === undefined) return;
    this.lookFrom(this.nextActionOf(lease));
  }

  /** Checks every lease now: the store may have been away, or this machine asleep. */
  verify(): void {
    const now = this.context.time.now();
    for (const lease of this.context.held.values()) owe(lease, now);
    this.lookAt = Math.min(this.lookAt, now);
    // After a sleep the alarm that is set comes too late by as much, and leases to come count on it too.
    this.alarmAt = Infinity;
    this.arm(now);
  }

  /** `Lock.extend()`. */
  async extend(lock: Lock, leases: readonly Lease[], ttl: number | undefined): Promise<void> {
    const timing =
      ttl === undefined ? (leases[0] as Lease).settings.timing : this.context.timings.for(ttl);
    const trace = traceHere();
    lock.assertHeld();
    try {
      await this.renewNow(leases, timing);
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
  async renewNow(leases: readonly Lease[], timing: LeaseTiming): Promise<void> {
    const busy = leases.filter(({ renewal }) => renewal?.inFlight === true);
    const held = leases.filter((lease) => !busy.includes(lease) && lease.isHeld());
    const later = busy.map(async (lease) => {
      await landed(lease);
      await this.renewNow([lease], timing);
    });
    await Promise.all([this.renewTogether(held, timing), ...later]);
  }

  stop(): void {
    this.stopped = true;
    this.context.time.cancel(this.alarm);
    this.alarm = undefined;
  }

  private renewTogether(leases: readonly Lease[], timing: LeaseTiming): Promise<void> | undefined {
    if (leases.length === 0) return undefined;
    return new Promise((resolve, reject) => {
      const renewals = leases.map((lease) => begin(lease, timing, true));
      this.send(renewals, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  private dueAt(lease: Lease): number {
    return dueAt(lease, this.context.store.capabilities.checkEvery);
  }

  private nextActionOf(lease: Lease): number {
    return Math.min(this.dueAt(lease), lease.signalPoint, lease.maxHoldAt);
  }

  private lookFrom(at: number): void {
    if (at >= this.lookAt) return;
    this.lookAt = at;
    if (at < this.alarmAt) this.arm(at);
  }

  private arm(at: number): void {
    const { time } = this.context;
    // A machine that has just woken up shows it here at the latest, and then the alarm is set for now.
    const now = time.checkedNow();
    if (this.alarmAt <= at && this.alarm !== undefined) return;
    time.cancel(this.alarm);
    this.alarm = undefined;
    this.alarmAt = at;
    if (at === Infinity || this.stopped) return;
    // Held locks do not keep a process alive.
    this.alarm = time.after(at - now, () => this.tick(), false);
  }

  private tick(): void {
    this.alarmAt = Infinity;
    const now = this.context.time.checkedNow();
    if (now >= this.lookAt || !this.endSoon(now)) this.lookAtAll(now);
  }

  /**
   * Looks at those alone whose time has come, as the last look at all has found.
   *
   * @returns false if one is to be renewed, for which all must be looked at
   */
  private endSoon(now: number): boolean {
    const { soon } = this;
    for (let next = soon.at(-1); next !== undefined && next.at <= now; next = soon.at(-1)) {
      soon.pop();
      const { lease } = next;
      if (lease.ended !== undefined || !lease.isHeld(now)) continue;
      if (this.dueAt(lease) <= now) return false;
      this.lookAt = Math.min(this.lookAt, this.nextActionOf(lease));
    }
    this.armNext();
    return true;
  }

  private lookAtAll(now: number): void {
    const soon: Due[] = [];
    let due = false;
    // What is due soon is renewed with what is due, so that renewals fall together.
    const batch: Lease[] = [];
    this.lookAt = Infinity;
    const note = (lease: Lease, at: number): void => {
      if (at < now + SOON) soon.push({ at, lease });
      else this.lookAt = Math.min(this.lookAt, at);
    };
    for (const lease of this.context.held.values()) {
      if (!lease.isHeld(now)) continue;
      const at = this.dueAt(lease);
      due ||= at <= now;
      if (at <= now || isDueSoon(lease, now)) batch.push(lease);
      else note(lease, Math.min(at, lease.signalPoint, lease.maxHoldAt));
    }
    // Whoever hears of a loss may release what is due.
    this.context.notices.add(() => {
      if (due) this.renew(batch);
      for (const lease of batch) {
        if (lease.ended === undefined) note(lease, this.nextActionOf(lease));
      }
      this.soon = soon.toSorted((one, other) => other.at - one.at);
      this.armNext();
    });
  }

  private armNext(): void {
    const next = Math.min(this.lookAt, this.soon.at(-1)?.at ?? Infinity);
    if (next < this.alarmAt) this.arm(next);
  }

  private renew(leases: readonly Lease[]): void {
    const batch: Renewal[] = [];
    for (const lease of leases) {
      // A loss may have released it, and whoever heard of it may have renewed it.
      if (lease.ended !== undefined || lease.renewal?.inFlight === true) continue;
      const { handle } = lease;
      if (handle !== undefined) watch(handle);
      batch.push(begin(lease, lease.settings.timing, lease.renews));
    }
    if (batch.length > 0) this.send(batch, () => {});
  }

  /** One request, whose answer is waited for as long as each ttl allows. */
  private send(batch: readonly Renewal[], done: (error?: LockStoreError) => void): void {
    const { store, calls, time } = this.context;
    const sentAt = time.now();
    const requests = batch.map(({ lease, timing, prolongs }): RenewRequest => {
      const { stored, id, storedOwner, settings } = lease;
      const permit = settings.sharing && true;
      return { key: stored, id, owner: storedOwner, ttl: prolongs ? timing.ttl : 0, permit };
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
    const { events, time } = this.context;
    // A lock of several keys is told of once.
    const renewed = events.heard('renewed') ? new Map<Lock, number>() : undefined;
    const answer = { sentAt, now: time.checkedNow(), renewed };
    let failed: LockStoreError | undefined;
    for (const place of places) {
      const error = this.settle(batch[place] as Renewal, replies[place], answer);
      failed ??= error;
    }
    for (const [lock, headroom] of renewed ?? []) {
      if (lock.state === 'held') events.emit('renewed', { ...eventOf(lock), headroom });
    }
    return failed;
  }

  /** @returns the error if the store could not say */
  private settle(
    renewal: Renewal,
    reply: RenewReply | undefined,
    answer: Answer,
  ): LockStoreError | undefined {
    const { context } = this;
    const { lease, prolongs } = renewal;
    // Meanwhile it may have passed to another holder of this process.
    const current = lease.ended === undefined ? lease : context.held.find(lease.stored, lease.id);
    const holder = current ?? lease;
    land(holder, renewal);
    let failed: LockStoreError | undefined;
    if (reply === 'renewed') {
      const { handle } = holder;
      if (prolongs && handle !== undefined && answer.renewed !== undefined) {
        const headroom = holder.signalPoint - answer.now;
        const others = answer.renewed.get(handle) ?? Infinity;
        answer.renewed.set(handle, Math.min(headroom, others));
      }
      if (holder === current) this.confirm(holder, renewal, answer);
    } else if (reply === undefined || reply instanceof Error) {
      failed = context.calls.errorFrom('renew', lease.key, reply);
      const { retryEvery } = holder.settings.timing;
      if (holder === current) owe(holder, answer.sentAt + retryEvery);
    } else {
      if (holder === current) holder.lose(reply);
      return undefined;
    }
    if (holder === current && holder.ended === undefined) this.schedule(holder);
    // What has expired meanwhile may have been prolonged all the same, and nobody would release it.
    else if (prolongs && hasExpired(holder)) context.releases.undo(holder);
    return failed;
  }

  private confirm(held: Lease, renewal: Renewal, { sentAt, now }: Answer): void {
    const { context } = this;
    const { checkEvery } = context.store.capabilities;
    if (renewal.prolongs) {
      if (!held.confirm(sentAt, renewal.timing, now)) return;
    } else if (checkEvery !== undefined) {
      owe(held, sentAt + checkEvery);
    }
    // A verification that was asked for while this was under way is still owed.
    if (renewal.dueAt !== undefined && renewal.dueAt > sentAt) owe(held, context.time.now());
  }
}

/** Until what is under way for a lease has its answer. */
function landed({ renewal }: Lease): Promise<void> {
  return new Promise((resolve) => {
    if (renewal === undefined) resolve();
    else (renewal.idle ??= []).push(resolve);
  });
}

function isDueSoon({ renewal, renews, anchor, settings }: Lease, now: number): boolean {
  return renewal === undefined && renews && anchor + settings.timing.renewFrom <= now;
}

function hasExpired({ ended }: Lease): boolean {
  return ended instanceof LockLostError && ended.reason === 'expired';
}
