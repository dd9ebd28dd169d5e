import type { Releases } from '../release/releases.ts';
import type { Attempt, Granted } from './contender.ts';
import { LockQueueFullError, type LockStoreError } from '../errors.ts';
import type { Events } from '../events.ts';
import type { Ids } from '../util/ids.ts';
import { KeyQueue, type QueueHost } from './key-queue.ts';
import { isFresh, type Grant, type Lease, type Plan, type Tenure } from '../hold/lease.ts';
import type { HandoffBounds, LockerSettings } from '../options.ts';
import type { Renewer } from '../hold/renewer.ts';
import { SlotMap } from '../util/slot-map.ts';
import { MAX_TOKENS, type AcquireReply, type LockStore, type MaybePromise } from '../store.ts';
import { CAME_LATE, type StoreCalls } from '../util/store-calls.ts';
import type { Alarm, Time } from '../util/time.ts';
import { Traces } from '../util/traces.ts';
import { Registrations } from './registrations.ts';
import type { Counter, Waiter } from './waiter.ts';

/** ms for telling the store that nobody waits any more. */
const LEAVE_TIMEOUT = 2_000;

/** What admission needs of its engine. */
export interface KeyQueuesHost {
  readonly time: Time;
  readonly events: Events;
  readonly calls: StoreCalls;
  readonly store: LockStore;
  readonly settings: LockerSettings;
  readonly ids: Ids;
  readonly client: string;
  readonly leases: SlotMap<Lease>;
  readonly cleanup: Releases;
  readonly renewer: Renewer;
  /** Called before the first request. */
  subscribe(): void;
}

/** Lets those in who want a lock: at once, by a single attempt, or through the key's queue. */
export class KeyQueues implements QueueHost, Counter {
  readonly queues = new SlotMap<KeyQueue>();
  /** Waiters with a request under way, or at rest, without a place in a queue. */
  readonly unqueued = new Set<Waiter>();
  readonly registrations: Registrations;
  readonly traces = new Traces();
  readonly notifies: boolean;
  readonly handoff: HandoffBounds | undefined;
  readonly maxWaiters: number;
  /** How many acquisitions wait, for whatever key. */
  waiting = 0;
  readonly time: Time;
  readonly events: Events;
  readonly calls: StoreCalls;
  readonly leases: SlotMap<Lease>;
  readonly cleanup: Releases;
  readonly renewer: Renewer;
  /** How many fencing tokens a grant is asked for: one more than it may be passed on. */
  private readonly tokens: number;
  private readonly maxWaiting: number;
  private firstTenure: Tenure = { from: undefined, spare: 0 };
  private parkedKeys = 0;
  private keepAlive: Alarm | undefined = undefined;

  constructor(private readonly engine: KeyQueuesHost) {
    const { time, events, calls, store, settings, leases, cleanup, renewer } = engine;
    this.time = time;
    this.events = events;
    this.calls = calls;
    this.leases = leases;
    this.cleanup = cleanup;
    this.renewer = renewer;
    this.registrations = new Registrations(engine);
    this.notifies = store.capabilities.wakeUp === 'notify';
    this.handoff = settings.handoff;
    this.maxWaiters = settings.maxWaiters;
    this.maxWaiting = settings.maxWaiting;
    this.tokens = Math.min((settings.handoff?.max ?? 0) + 1, MAX_TOKENS);
  }

  newId(): string {
    return this.engine.ids.next();
  }

  /**
   * Asks the store at once, if nobody of this process is before us. With an embedded store that is
   * most often all there is to an acquisition.
   */
  first(plan: Plan, stored: string): Attempt | undefined {
    // By the clock: after a blocked event loop nobody may have noticed yet that a lease is over.
    if (this.leases.get(stored)?.isHeld() === true || this.queues.has(stored)) return undefined;
    const id = this.newId();
    const sentAt = this.time.now();
    // One who may not wait is not to take a place in the store's queue.
    const waits = plan.wait > 0 && this.maxWaiters > 0 && this.waiting < this.maxWaiting;
    let reply: MaybePromise<AcquireReply>;
    try {
      reply = this.ask(plan, stored, id, waits);
    } catch (error) {
      reply = Promise.reject(error);
    }
    return { id, sentAt, reply, waits };
  }

  /** Starts a waiter on its way: a single attempt, or a place in line. */
  request(waiter: Waiter, first: Attempt | undefined): void {
    const single = first?.waits === false;
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
    const { engine } = this;
    engine.subscribe();
    return engine.store.acquire({
      key: stored,
      id,
      owner: plan.storeOwner ?? id,
      label: plan.label,
      ttl: plan.terms.ttl,
      tokens: this.tokens,
      client: engine.client,
      wait,
      replaces,
    });
  }

  grantOf(id: string, { token, tokens }: Granted, sentAt: number): Grant {
    const spare = token === 0 ? this.tokens - 1 : Math.min(this.tokens, tokens) - 1;
    // The same for all but a few grants, and so one object.
    if (this.firstTenure.spare !== spare) this.firstTenure = { from: undefined, spare };
    return { id, sentAt, token, tenure: this.firstTenure };
  }

  /** A waiter wants no more. */
  withdraw(waiter: Waiter): void {
    waiter.done = true;
    this.unqueued.delete(waiter);
    if (waiter.queued) this.queues.get(waiter.stored)?.withdraw(waiter);
    else this.takeBack(waiter);
  }

  takeBack(waiter: Waiter, attempt = waiter.attempt): void {
    if (this.leases.get(attempt.stored)?.id === attempt.id) return;
    // Its next attempt has another id, so that this cannot undo it.
    waiter.renounce(attempt.id);
    this.cleanup.takeBack(attempt);
  }

  /** The store woke this locker for a key. */
  woken(stored: string): void {
    const contender = this.queues.get(stored)?.contender;
    if (contender === undefined) this.leaveQueue(stored);
    else contender.ask();
  }

  leaveQueue(stored: string): void {
    const { store, client, settings } = this.engine;
    if (!this.notifies || store.leave === undefined) return;
    this.calls.send<void>({
      phase: 'release',
      timeout: settings.storeTimeout ?? LEAVE_TIMEOUT,
      send: () => store.leave?.(client, stored),
      answered: () => {},
      // The registration runs out by itself.
      failed: () => {},
    });
  }

  forget(queue: KeyQueue): void {
    if (this.queues.get(queue.stored) === queue) this.queues.delete(queue.stored);
  }

  park(parked: boolean): void {
    this.parkedKeys += parked ? 1 : -1;
    if (this.parkedKeys > 0) {
      this.keepAlive ??= this.time.after(Infinity, () => {}, true);
    } else {
      this.time.cancel(this.keepAlive);
      this.keepAlive = undefined;
    }
  }

  /** All who wait for a lock of this locker. */
  waiters(): Waiter[] {
    const all = [...this.unqueued];
    for (const queue of this.queues.values()) {
      for (let waiter = queue.head; waiter !== undefined; waiter = waiter.next) all.push(waiter);
    }
    return all;
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
    const full = this.fullFor(waiter, queue);
    if (full !== undefined) {
      waiter.done = true;
      waiter.refused(full);
      return;
    }
    if (queue === undefined) {
      queue = new KeyQueue(this, waiter.stored);
      this.queues.set(waiter.stored, queue);
    }
    queue.add(waiter);
    waiter.waits();
    if (queue.size === 1) queue.review();
  }

  /** Why one more may not wait. One that waits already, for another of its keys, has its place. */
  private fullFor(waiter: Waiter, queue: KeyQueue | undefined): LockQueueFullError | undefined {
    const { key } = waiter;
    const { maxWaiters, maxWaiting } = this;
    if (queue === undefined ? maxWaiters === 0 : !queue.hasRoom) {
      return new LockQueueFullError({ key, option: 'maxWaiters', limit: maxWaiters });
    }
    if (waiter.waiting || this.waiting < maxWaiting) return undefined;
    return new LockQueueFullError({ key, option: 'maxWaiting', limit: maxWaiting });
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
      if (reply.granted && !waiter.wants(id)) this.takeBack(waiter, attempt);
    };
    const granted = (reply: Granted): void => {
      const now = this.time.checkedNow();
      if (isFresh(sentAt, terms, now)) {
        this.unqueued.delete(waiter);
        waiter.grant(this.grantOf(id, reply, sentAt), now);
      } else if (again) {
        failed(this.calls.errorFrom('acquire', key, new Error(CAME_LATE)));
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
}
