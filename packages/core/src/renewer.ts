import type { Lock } from './api.ts';
import type { Cleanup } from './cleanup.ts';
import { LockLostError, type LockStoreError } from './errors.ts';
import type { Events } from './events.ts';
import type { Lease } from './lease.ts';
import { eventOf } from './lock.ts';
import type { SteadyMap } from './steady-map.ts';
import type { LockStore, MaybePromise, RenewReply, RenewRequest } from './store.ts';
import type { StoreCalls } from './store-calls.ts';
import type { Terms, TermsTable } from './terms.ts';
import type { Alarm, Time } from './time.ts';

/** What renewing needs of its engine. */
interface RenewerHost {
  readonly time: Time;
  readonly calls: StoreCalls;
  readonly store: LockStore;
  readonly events: Events;
  readonly terms: TermsTable;
  readonly leases: SteadyMap<Lease>;
  readonly cleanup: Cleanup;
}

/** What is under way, or went wrong, for a grant; most of the time there is nothing to remember. */
interface RenewState {
  inFlight: boolean;
  /** When to renew, where that is not simply a part of the ttl after the last time. */
  dueAt: number | undefined;
  /** Those who wait for what is under way, if any. */
  idle: (() => void)[] | undefined;
}

/** One request of a batch. */
interface Renewal {
  readonly lease: Lease;
  readonly state: RenewState;
  readonly terms: Terms;
  /** Otherwise only checked. */
  readonly prolongs: boolean;
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
  private readonly states = new Map<string, RenewState>();
  private alarm: Alarm | undefined = undefined;
  private alarmAt = Infinity;
  private stopped = false;

  constructor(private readonly engine: RenewerHost) {}

  /** Looks after a lease from now on, or after a change to it. */
  schedule(lease: Lease): void {
    // Most often there is an alarm before anything has to be done for a new lease.
    const idleUntil = Math.min(lease.anchor + lease.plan.terms.idleFor, lease.maxHoldAt);
    if (this.alarmAt <= idleUntil && this.states.size === 0) return;
    const at = this.nextActionOf(lease);
    if (at < this.alarmAt) this.arm(at);
  }

  /** Checks every lease now: the store may have been away, or this machine asleep. */
  verify(): void {
    const now = this.engine.time.now();
    for (const { id } of this.engine.leases.values()) this.stateOf(id).dueAt = now;
    if (this.engine.leases.size > 0 && now < this.alarmAt) this.arm(now);
  }

  /** `Lock.extend()`. */
  async extend(lock: Lock, leases: readonly Lease[], ttl: number | undefined): Promise<void> {
    const terms = ttl === undefined ? (leases[0] as Lease).plan.terms : this.engine.terms.for(ttl);
    lock.assertHeld();
    await this.renewNow(leases, terms);
    lock.assertHeld();
  }

  /**
   * Renews now, after what is under way for these leases.
   *
   * @throws LockStoreError if the store did not confirm all; the leases are held all the same
   */
  async renewNow(leases: readonly Lease[], terms: Terms): Promise<void> {
    const busy = leases.filter(({ id }) => this.states.get(id)?.inFlight === true);
    const held = leases.filter((lease) => !busy.includes(lease) && lease.isHeld());
    const later = busy.map(async (lease) => {
      await new Promise<void>((resolve) => (this.stateOf(lease.id).idle ??= []).push(resolve));
      await this.renewNow([lease], terms);
    });
    await Promise.all([this.renewTogether(held, terms), ...later]);
  }

  /** A grant is not held any more. */
  drop({ id }: Lease): void {
    if (this.states.size > 0 && this.states.get(id)?.inFlight === false) this.states.delete(id);
  }

  stop(): void {
    this.stopped = true;
    this.engine.time.cancel(this.alarm);
    this.alarm = undefined;
  }

  private stateOf(id: string): RenewState {
    let state = this.states.get(id);
    if (state === undefined) {
      state = { inFlight: false, dueAt: undefined, idle: undefined };
      this.states.set(id, state);
    }
    return state;
  }

  private renewTogether(leases: readonly Lease[], terms: Terms): Promise<void> | undefined {
    if (leases.length === 0) return undefined;
    return new Promise((resolve, reject) => {
      const renewals = leases.map((lease) => this.renewalOf(lease, terms, true));
      this.send(renewals, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  private renewalOf(lease: Lease, terms: Terms, prolongs: boolean): Renewal {
    const state = this.stateOf(lease.id);
    state.inFlight = true;
    if (prolongs) lease.asks(terms.ttl);
    return { lease, state, terms, prolongs };
  }

  /** When a lease has to be renewed or checked. */
  private dueAt(lease: Lease): number {
    const state = this.states.get(lease.id);
    if (state?.inFlight === true) return Infinity;
    if (state?.dueAt !== undefined) return state.dueAt;
    if (lease.renews) return lease.anchor + lease.plan.terms.renewEvery;
    return lease.anchor + (this.engine.store.capabilities.checkEvery ?? Infinity);
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
    let due = false;
    for (const lease of leases.values()) {
      if (lease.isHeld(now) && this.dueAt(lease) <= now) due = true;
    }
    if (due) this.renewDue(now);
    let next = Infinity;
    for (const lease of leases.values()) next = Math.min(next, this.nextActionOf(lease));
    if (next < this.alarmAt) this.arm(next);
  }

  /** Renews what is due, and with it what will be soon, so that renewals fall together. */
  private renewDue(now: number): void {
    const batch: Renewal[] = [];
    for (const lease of this.engine.leases.values()) {
      const { plan, anchor, id, renews } = lease;
      const { terms } = plan;
      const state = this.states.get(id);
      const soon = state === undefined && renews && anchor + terms.renewFrom <= now;
      if (soon || this.dueAt(lease) <= now) batch.push(this.renewalOf(lease, terms, renews));
    }
    // A loss may have released what was due.
    if (batch.length > 0) this.send(batch, () => {});
  }

  /** One request, whose answer is waited for as long as each ttl allows. */
  private send(batch: readonly Renewal[], done: (error?: LockStoreError) => void): void {
    const { store, calls, time } = this.engine;
    const sentAt = time.now();
    const requests = batch.map(({ lease, terms, prolongs }): RenewRequest => {
      const { stored, id, plan } = lease;
      return { key: stored, id, owner: plan.owner ?? id, ttl: prolongs ? terms.ttl : 0 };
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
    { lease, state, terms, prolongs }: Renewal,
    reply: RenewReply | undefined,
    answer: Answer,
  ): LockStoreError | undefined {
    const { engine } = this;
    this.land(lease.id, state);
    // Meanwhile it may have passed to another holder of this process.
    const current = engine.leases.get(lease.stored);
    const holder = current?.id === lease.id ? current : lease;
    let failed: LockStoreError | undefined;
    if (reply === 'renewed') {
      if (holder === current) this.confirm(holder, state, prolongs ? terms : undefined, answer);
      if (prolongs && holder.handle !== undefined) answer.renewed?.add(holder.handle);
    } else if (reply === undefined || reply instanceof Error) {
      failed = engine.calls.errorFrom('renew', lease.key, reply);
      const { retryEvery } = holder.plan.terms;
      if (holder === current) this.stateOf(lease.id).dueAt = answer.sentAt + retryEvery;
    } else {
      if (holder === current) holder.lose(reply);
      return undefined;
    }
    if (holder === current && holder.ended === undefined) this.schedule(holder);
    // What has expired meanwhile may have been prolonged all the same, and nobody would release it.
    else if (prolongs && hasExpired(holder)) engine.cleanup.undo(holder);
    return failed;
  }

  private land(id: string, state: RenewState): void {
    state.inFlight = false;
    // Not if this is a late answer, and the grant is being renewed again already.
    if (this.states.get(id) === state) this.states.delete(id);
    for (const resume of state.idle ?? []) resume();
  }

  private confirm(
    held: Lease,
    state: RenewState,
    terms: Terms | undefined,
    { sentAt, now }: Answer,
  ): void {
    const { engine } = this;
    // A verification that was asked for while this was under way is still owed.
    const owed = state.dueAt !== undefined && state.dueAt > sentAt;
    if (terms === undefined) {
      const { checkEvery } = engine.store.capabilities;
      if (checkEvery !== undefined) this.stateOf(held.id).dueAt = sentAt + checkEvery;
    } else if (!held.confirm(sentAt, terms, now)) {
      return;
    }
    if (owed) this.stateOf(held.id).dueAt = engine.time.now();
  }
}

/** The places in the batch of those that may take so many ms. */
function byTimeout(batch: readonly Renewal[]): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (let place = 0; place < batch.length; place++) {
    // An extension to far more, if it hangs, must leave time to renew what there is.
    const { lease, terms } = batch[place] as Renewal;
    const storeTimeout = Math.min(terms.storeTimeout, lease.plan.terms.storeTimeout);
    const group = groups.get(storeTimeout);
    if (group === undefined) groups.set(storeTimeout, [place]);
    else group.push(place);
  }
  return groups;
}

function hasExpired({ ended }: Lease): boolean {
  return ended instanceof LockLostError && ended.reason === 'expired';
}
