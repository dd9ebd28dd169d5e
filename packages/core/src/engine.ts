import { hostname } from 'node:os';
import { Cleanup, type Unwanted } from './cleanup.ts';
import type { Clock } from './clock.ts';
import type { Attempt } from './contender.ts';
import type { LockStoreError } from './errors.ts';
import { Events } from './events.ts';
import { Ids } from './ids.ts';
import { KeyQueue } from './key-queue.ts';
import { isFresh, type Grant, type Lease, type Tenure } from './lease.ts';
import type { HandoffBounds, LockerSettings } from './options.ts';
import type { Plan } from './plan.ts';
import { Renewer } from './renewer.ts';
import { SteadyMap } from './steady-map.ts';
import {
  MAX_TOKENS,
  type AcquireReply,
  type LockStore,
  type MaybePromise,
  type StoreEvent,
} from './store.ts';
import { StoreCalls } from './store-calls.ts';
import { TermsTable } from './terms.ts';
import { Time } from './time.ts';
import { WaitList } from './wait-list.ts';
import type { Waiter } from './waiter.ts';

/** ms for telling the store that nobody waits any more. */
const LEAVE_TIMEOUT = 2_000;

/** A grant of the store's. */
export type Granted = Extract<AcquireReply, { granted: true }>;

/** What the parts of one locker share, and where they meet. */
export class Engine {
  readonly time: Time;
  readonly events: Events;
  readonly calls: StoreCalls;
  readonly terms: TermsTable;
  readonly ids: Ids;
  readonly cleanup: Cleanup;
  readonly renewer: Renewer;
  readonly waitList: WaitList;
  /** This locker, to the store. */
  readonly client: string;
  /** By stored key: what this process holds and has not lost. */
  readonly leases = new SteadyMap<Lease>();
  readonly queues = new Map<string, KeyQueue>();
  /** Waiters with a request under way and no place in a queue. */
  readonly unqueued = new Set<Waiter>();
  readonly notifies: boolean;
  /** Called when the last lock is gone. */
  onIdle: (() => void) | undefined = undefined;
  /** How many fencing tokens a grant is asked for: one more than it may be passed on. */
  private readonly tokens: number;
  private firstTenure: Tenure = { from: undefined, spare: 0 };
  private parkedKeys = 0;
  private keepAlive: ReturnType<Time['after']> | undefined = undefined;
  private unsubscribe: (() => MaybePromise<void>) | undefined = undefined;
  private lazyLabel: string | undefined;

  constructor(
    readonly store: LockStore,
    readonly settings: LockerSettings,
    clock: Clock,
  ) {
    this.time = new Time(clock, () => this.renewer.verify());
    this.events = new Events(settings.name, store.name);
    this.calls = new StoreCalls(this.time, this.events);
    this.terms = new TermsTable(store, settings);
    this.ids = new Ids(this.time);
    this.cleanup = new Cleanup(this);
    this.renewer = new Renewer(this);
    this.waitList = new WaitList(this);
    this.client = this.time.identity();
    this.notifies = store.capabilities.wakeUp === 'notify';
    this.tokens = Math.min((settings.handoff?.max ?? 0) + 1, MAX_TOKENS);
    this.lazyLabel = settings.label;
  }

  get label(): string {
    return (this.lazyLabel ??= `${hostname()}:${process.pid}`);
  }

  /**
   * Asks the store at once, if nobody of this process is before us. With an embedded store that is
   * most often all there is to an acquisition.
   */
  first(plan: Plan, stored: string): Attempt | undefined {
    if (this.leases.has(stored) || this.queues.has(stored)) return undefined;
    const id = this.ids.next();
    const sentAt = this.time.now();
    let reply: MaybePromise<AcquireReply>;
    try {
      reply = this.ask(plan, stored, id, plan.wait > 0);
    } catch (error) {
      reply = Promise.reject(error);
    }
    return { id, sentAt, reply };
  }

  /** Starts a waiter on its way: a single attempt, or a place in line. */
  request(waiter: Waiter, first: Attempt | undefined): void {
    const single = waiter.plan.wait === 0;
    // Past those in line only goes an owner, to take over what is its own.
    if (first === undefined && waiter.plan.owner === undefined) this.found(waiter);
    else if (first === undefined || single) this.attempt(waiter, first);
    else this.open(waiter, first);
  }

  ask(
    plan: Plan,
    stored: string,
    id: string,
    wait: boolean,
    replaces?: string,
  ): MaybePromise<AcquireReply> {
    this.unsubscribe ??= this.store.subscribe(this.client, (event) => this.hear(event));
    return this.store.acquire({
      key: stored,
      id,
      owner: plan.owner ?? id,
      label: this.label,
      ttl: plan.terms.ttl,
      tokens: this.tokens,
      client: this.client,
      wait,
      replaces,
    });
  }

  /** A waiter wants no more. */
  withdraw(waiter: Waiter): void {
    waiter.done = true;
    this.unqueued.delete(waiter);
    if (waiter.queued) this.queues.get(waiter.stored)?.withdraw(waiter);
    else this.takeBack(waiter);
  }

  /** Undoes a waiter's attempt, whatever has become of it or will; its next has another id. */
  takeBack(waiter: Waiter, attempt = waiter.attempt): void {
    if (this.leases.get(attempt.stored)?.id === attempt.id) return;
    waiter.renounce(attempt.id);
    void this.cleanup.takeBack(attempt);
  }

  /** A grant came late. A waiter who still asks under its id will recognise it. */
  takeBackUnlessWanted(waiter: Waiter, attempt: Unwanted): void {
    if (!waiter.wants(attempt.id)) this.takeBack(waiter, attempt);
  }

  grantOf(id: string, { token, tokens }: Granted, sentAt: number): Grant {
    const spare = token === 0 ? this.tokens - 1 : Math.min(this.tokens, tokens) - 1;
    // The same for all but a few grants, and so one object.
    if (this.firstTenure.spare !== spare) this.firstTenure = { from: undefined, spare };
    return { id, sentAt, token, tenure: this.firstTenure };
  }

  /** A waiter got its lease. */
  hold(lease: Lease): void {
    const { stored, plan } = lease;
    const older = this.leases.get(stored);
    if (older !== undefined) {
      // The store has granted the key anew: what we believed to hold is gone, and by whom is known.
      const same = plan.owner !== undefined && plan.owner === older.plan.owner;
      older.lose(same ? 'superseded' : 'stolen');
    }
    this.leases.set(stored, lease);
    this.renewer.schedule(lease);
  }

  /** A holder releases: its lease passes to the next of this process, or ends on the store. */
  release(lease: Lease, now: number): MaybePromise<boolean> {
    const queue = this.queues.get(lease.stored);
    const keepFor = Math.max(0, lease.keepUntil - now);
    this.leases.delete(lease.stored);
    let freed = keepFor > 0 ? undefined : queue?.succeed(lease, now);
    if (freed === undefined) {
      freed = this.cleanup.release(lease, now, keepFor);
      queue?.review();
    }
    if (this.leases.get(lease.stored)?.id !== lease.id) this.renewer.drop(lease);
    if (this.leases.size === 0) this.onIdle?.();
    return freed;
  }

  /** All who wait for a lock of this locker. */
  waiters(): Waiter[] {
    const all = [...this.unqueued];
    for (const queue of this.queues.values()) {
      for (let waiter = queue.head; waiter !== undefined; waiter = waiter.next) all.push(waiter);
    }
    return all;
  }

  /** A lease was lost: those in line have to ask the store. */
  vacated(lease: Lease): void {
    if (this.leases.get(lease.stored) !== lease) return;
    this.leases.delete(lease.stored);
    this.renewer.drop(lease);
    this.queues.get(lease.stored)?.review();
    if (this.leases.size === 0) this.onIdle?.();
  }

  /** Contract 6.3: what has to be true at the moment of a hand-off. */
  mayHandOff(lease: Lease, now: number): boolean {
    const { anchor, signalPoint, grantedAt } = lease;
    const { from = grantedAt, spare } = lease.tenure;
    const third = lease.plan.terms.ttl / 3;
    const { tenure } = this.settings.handoff as HandoffBounds;
    const confirmed = now - anchor;
    return (
      spare > 0 &&
      now - from < tenure &&
      signalPoint - now >= third &&
      confirmed >= 0 &&
      confirmed <= third
    );
  }

  forget(queue: KeyQueue): void {
    if (this.queues.get(queue.stored) === queue) this.queues.delete(queue.stored);
  }

  /** Counts the keys for which somebody waits without a timer or a request of their own. */
  park(parked: boolean): void {
    this.parkedKeys += parked ? 1 : -1;
    if (this.parkedKeys > 0) {
      this.keepAlive ??= this.time.after(Infinity, () => {}, true);
    } else {
      this.time.cancel(this.keepAlive);
      this.keepAlive = undefined;
    }
  }

  leaveQueue(stored: string): void {
    const { store, client } = this;
    if (!this.notifies || store.leave === undefined) return;
    this.calls.send<void>({
      phase: 'release',
      timeout: this.settings.storeTimeout ?? LEAVE_TIMEOUT,
      send: () => store.leave?.(client, stored),
      answered: () => {},
      // The registration runs out by itself.
      failed: () => {},
    });
  }

  /** Ends all timers and listening. What is still to be released goes on without them. */
  async stop(): Promise<void> {
    this.renewer.stop();
    this.cleanup.stop();
    this.time.letGo();
    const { unsubscribe } = this;
    this.unsubscribe = () => {};
    await unsubscribe?.();
  }

  /** The first of its process to ask for a key is also the first in line. */
  private open(waiter: Waiter, first: Attempt): void {
    const queue = new KeyQueue(this, waiter.stored);
    this.queues.set(waiter.stored, queue);
    queue.add(waiter);
    queue.contend(first);
  }

  /** A waiter found its key busy. */
  private found(waiter: Waiter): void {
    if (waiter.plan.wait > 0) {
      this.lineUp(waiter);
    } else {
      waiter.done = true;
      waiter.busy();
    }
  }

  private lineUp(waiter: Waiter): void {
    let queue = this.queues.get(waiter.stored);
    if (queue === undefined) {
      queue = new KeyQueue(this, waiter.stored);
      this.queues.set(waiter.stored, queue);
    }
    queue.add(waiter);
    waiter.waits();
    if (queue.size === 1) queue.review();
  }

  /**
   * Asks the store once, without a place in its queue.
   *
   * @param given the request, if it was sent already
   * @param again a grant that came late is asked for once more, which renews it
   */
  private attempt(waiter: Waiter, given?: Attempt, again = false): void {
    const { attempt, plan } = waiter;
    const { id, key, terms } = attempt;
    const sentAt = given?.sentAt ?? this.time.now();
    const failed = (error: LockStoreError): void => {
      this.unqueued.delete(waiter);
      if (!waiter.wants(id)) return;
      this.takeBack(waiter, attempt);
      if (plan.wait === 0 || error.permanent) waiter.fail(error);
      else this.lineUp(waiter);
    };
    const unwanted = (reply: AcquireReply): void => {
      if (reply.granted) this.takeBackUnlessWanted(waiter, attempt);
    };
    const granted = (reply: Granted): void => {
      const now = this.time.checkedNow();
      if (isFresh(sentAt, terms, now)) {
        this.unqueued.delete(waiter);
        waiter.grant(this.grantOf(id, reply, sentAt), now);
      } else if (again) {
        failed(this.calls.errorFrom('acquire', key, new Error('The grant came late.')));
      } else {
        this.attempt(waiter, undefined, true);
      }
    };
    this.unqueued.add(waiter);
    this.calls.send<AcquireReply>({
      phase: 'acquire',
      key,
      timeout: terms.storeTimeout,
      send: () => given?.reply ?? waiter.ask(false),
      answered: (reply) => {
        if (!waiter.wants(id)) {
          unwanted(reply);
        } else if (reply.granted) {
          granted(reply);
        } else {
          this.unqueued.delete(waiter);
          this.found(waiter);
        }
      },
      failed,
      late: unwanted,
    });
  }

  private hear(event: StoreEvent): void {
    switch (event.type) {
      case 'wake': {
        const contender = this.queues.get(event.key)?.contender;
        if (contender === undefined) this.leaveQueue(event.key);
        else contender.ask();
        return;
      }
      case 'lost': {
        const lease = this.leases.get(event.key);
        if (lease?.id === event.id) lease.lose(event.reason);
        return;
      }
      case 'reconnected':
        this.renewer.verify();
        this.waitList.reconnected();
        return;
      case 'warning':
        this.events.warn(event.code, event.message);
    }
  }
}
