import { hostname } from 'node:os';
import type { Acquisition } from './acquisition.ts';
import { Cleanup } from './cleanup.ts';
import type { Clock } from './clock.ts';
import type { LockStoreError } from './errors.ts';
import { Events } from './events.ts';
import type { HandleInternals } from './handle.ts';
import { Ids } from './ids.ts';
import { KeyQueue } from './key-queue.ts';
import { isFresh, type Grant, type Lease } from './lease.ts';
import type { HandoffBounds, LockerSettings } from './options.ts';
import { Renewer } from './renewer.ts';
import {
  MAX_TOKENS,
  type AcquireReply,
  type LockStore,
  type MaybePromise,
  type RenewReply,
  type StoreEvent,
} from './store.ts';
import { isPromiseLike, StoreCalls } from './store-calls.ts';
import { TermsTable } from './terms.ts';
import { Time } from './time.ts';
import { WaitList } from './wait-list.ts';
import type { Waiter } from './waiter.ts';

/** ms for telling the store that nobody waits any more. */
const LEAVE_TIMEOUT = 2_000;

/** A grant of the store's. */
type Granted = Extract<AcquireReply, { granted: true }>;

/** What becomes of a grant once it is known whether it is fresh enough to be handed out. */
interface Freshness {
  fresh(grant: Grant): void;
  stale(error: LockStoreError): void;
}

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
  readonly leases = new Map<string, Lease>();
  readonly queues = new Map<string, KeyQueue>();
  /** Those that are not settled. */
  readonly acquisitions = new Set<Acquisition>();
  /** Handles under which a callback runs. */
  readonly running = new Set<HandleInternals>();
  readonly notifies: boolean;
  /** Called when the last lock is gone. */
  onIdle: (() => void) | undefined = undefined;
  private readonly tokens: number;
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

  /** Starts a waiter on its way: a single attempt, or a place in line. */
  request(waiter: Waiter, single: boolean): void {
    const taken = this.queues.has(waiter.stored) || this.leases.has(waiter.stored);
    const busy = (): void => (single ? waiter.outcome.busy() : this.lineUp(waiter));
    // Past those in line only goes an owner, to take over what is its own.
    if (taken && waiter.plan.owner === undefined) busy();
    else if (taken || single) this.attempt(waiter, single, busy);
    else this.open(waiter);
  }

  /** Sends a waiter's request to the store. */
  acquire(waiter: Waiter, wait: boolean, replaces?: string): MaybePromise<AcquireReply> {
    const { id, stored, plan } = waiter;
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
    if (waiter.queued) this.queues.get(waiter.stored)?.withdraw(waiter);
    else this.takeBack(waiter);
  }

  /** Undoes an attempt of a waiter, whatever has become of it or will; a later one gets another id. */
  takeBack(waiter: Waiter, id = waiter.id): void {
    const { key, stored, plan } = waiter;
    if (this.leases.get(stored)?.id === id) return;
    if (waiter.id === id) {
      waiter.id = this.ids.next();
      waiter.unsure = false;
    }
    void this.cleanup.takeBack({ key, stored, id, terms: plan.terms });
  }

  /** A grant that took long is renewed once, and given back if that does not make it fresh. */
  freshen(waiter: Waiter, granted: Granted, sentAt: number, result: Freshness): void {
    const { id, key, stored, plan } = waiter;
    const { terms } = plan;
    const grantAt = (confirmedAt: number): Grant => {
      const { token, tokens } = granted;
      const { handoff } = this.settings;
      const spare = Math.min(handoff?.max ?? 0, token === 0 ? Infinity : tokens - 1);
      return { id, sentAt: confirmedAt, tenureFrom: undefined, token, spare };
    };
    const now = this.time.now();
    if (isFresh(sentAt, terms, now)) {
      result.fresh(grantAt(sentAt));
      return;
    }
    const stale = (cause?: unknown): void => {
      this.takeBack(waiter, id);
      result.stale(this.calls.errorFrom('acquire', key, cause ?? new Error('The grant came late.')));
    };
    this.calls.send<readonly RenewReply[]>({
      phase: 'renew',
      key,
      timeout: terms.storeTimeout,
      send: () =>
        this.store.renew([{ key: stored, id, owner: plan.owner ?? id, ttl: terms.ttl }]),
      answered: ([reply]) => {
        if (reply === 'renewed' && isFresh(now, terms, this.time.now())) result.fresh(grantAt(now));
        else stale(reply instanceof Error ? reply : undefined);
      },
      failed: stale,
    });
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
  release(lease: Lease): MaybePromise<boolean> {
    const now = this.time.now();
    const queue = this.queues.get(lease.stored);
    const keepFor = Math.max(0, lease.keepUntil - now);
    this.leases.delete(lease.stored);
    let freed = keepFor > 0 ? undefined : queue?.succeed(lease, now);
    if (freed === undefined) {
      freed = this.cleanup.release(lease, keepFor);
      queue?.review();
    }
    if (this.leases.get(lease.stored)?.id !== lease.id) this.renewer.drop(lease);
    if (this.leases.size === 0) this.onIdle?.();
    return freed;
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
    const { anchor, signalPoint, grantedAt, tenureFrom = grantedAt } = lease;
    const third = lease.plan.terms.ttl / 3;
    const { tenure } = this.settings.handoff as HandoffBounds;
    const confirmed = now - anchor;
    return (
      now - tenureFrom < tenure &&
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

  enter(handle: HandleInternals): boolean {
    if (this.running.has(handle)) return false;
    this.running.add(handle);
    return true;
  }

  leave(handle: HandleInternals): void {
    this.running.delete(handle);
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

  /** The first of its process to ask for a key, and perhaps the first of all. */
  private open(waiter: Waiter): void {
    const sentAt = this.time.now();
    let reply: MaybePromise<AcquireReply>;
    try {
      reply = this.acquire(waiter, true);
    } catch (error) {
      reply = Promise.reject(error as Error);
    }
    if (!isPromiseLike(reply) && reply.granted && isFresh(sentAt, waiter.plan.terms, sentAt)) {
      this.freshen(waiter, reply, sentAt, {
        fresh: (grant) => waiter.grant(grant),
        stale: () => {},
      });
      return;
    }
    const queue = new KeyQueue(this, waiter.stored);
    this.queues.set(waiter.stored, queue);
    queue.add(waiter);
    queue.contend(reply, sentAt);
  }

  private lineUp(waiter: Waiter): void {
    let queue = this.queues.get(waiter.stored);
    if (queue === undefined) {
      queue = new KeyQueue(this, waiter.stored);
      this.queues.set(waiter.stored, queue);
    }
    queue.add(waiter);
    waiter.outcome.waits();
    queue.review();
  }

  /** Asks the store once, without a place in its queue. */
  private attempt(waiter: Waiter, single: boolean, busy: () => void): void {
    const { id, key, plan } = waiter;
    const sentAt = this.time.now();
    const takeBack = (reply: AcquireReply): void => {
      if (reply.granted && !waiter.wants(id)) this.takeBack(waiter, id);
    };
    const failed = (error: LockStoreError): void => {
      if (!waiter.wants(id)) return;
      if (single || error.permanent) waiter.fail(error);
      else this.lineUp(waiter);
      this.takeBack(waiter, id);
    };
    this.calls.send<AcquireReply>({
      phase: 'acquire',
      key,
      timeout: plan.terms.storeTimeout,
      send: () => this.acquire(waiter, false),
      answered: (reply) => {
        if (!waiter.wants(id)) takeBack(reply);
        else if (!reply.granted) busy();
        else this.freshen(waiter, reply, sentAt, { fresh: (grant) => waiter.grant(grant), stale: failed });
      },
      failed,
      late: takeBack,
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
