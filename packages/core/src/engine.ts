import { KeyQueues, type KeyQueuesHost } from './acquire/key-queues.ts';
import type { Lock } from './types.ts';
import { Releases } from './release/releases.ts';
import type { Clock } from './clock.ts';
import { Timeouts } from './util/timeouts.ts';
import { Events } from './events.ts';
import { Ids } from './util/ids.ts';
import type { Keeper, Lease } from './hold/lease.ts';
import type { LockerSettings } from './options.ts';
import { Renewer } from './hold/renewer.ts';
import { SlotMap } from './util/slot-map.ts';
import type { LockStore, MaybePromise, StoreEvent } from './store.ts';
import { StoreCalls } from './util/store-calls.ts';
import { LeaseTimings } from './hold/lease-timing.ts';
import { Time } from './util/time.ts';

/** The parts of one locker, and the leases at which they meet. */
export class Engine implements Keeper, KeyQueuesHost {
  readonly time: Time;
  readonly events: Events;
  readonly deadlines: Timeouts;
  readonly calls: StoreCalls;
  readonly terms: LeaseTimings;
  readonly ids: Ids;
  readonly cleanup: Releases;
  readonly renewer: Renewer;
  readonly admission: KeyQueues;
  /** This locker, to the store. */
  readonly client: string;
  /** By stored key: what this process holds and has not lost. */
  readonly leases = new SlotMap<Lease>();
  /** Called when the last lock is gone. */
  onIdle: (() => void) | undefined = undefined;
  private unsubscribe: (() => MaybePromise<void>) | undefined = undefined;

  constructor(
    readonly store: LockStore,
    readonly settings: LockerSettings,
    clock: Clock,
  ) {
    this.time = new Time(clock, () => this.renewer.verify());
    this.events = new Events(settings.name, store.name);
    this.deadlines = new Timeouts(this.time);
    this.calls = new StoreCalls(this.time, this.deadlines, this.events);
    this.terms = new LeaseTimings(store, settings);
    this.ids = new Ids(this.time);
    this.client = this.time.identity();
    this.cleanup = new Releases(this);
    this.renewer = new Renewer(this);
    this.admission = new KeyQueues(this);
  }

  subscribe(): void {
    this.unsubscribe ??= this.store.subscribe(this.client, (event) => this.hear(event));
  }

  hold(lease: Lease): void {
    const { stored, plan } = lease;
    const older = this.leases.set(stored, lease);
    if (older !== undefined) {
      // The store has granted the key anew: what we believed to hold is gone, and by whom is known.
      const same = plan.owner !== undefined && plan.owner === older.plan.owner;
      older.lose(same ? 'superseded' : 'stolen');
    }
    this.renewer.schedule(lease);
  }

  /** The lease passes to the next of this process, or ends on the store. */
  release(lease: Lease, now: number): MaybePromise<boolean> {
    const { stored } = lease;
    const queue = this.admission.queues.get(stored);
    const keepFor = lease.keepFor(now);
    this.leases.vacate(stored);
    let freed = keepFor === undefined ? queue?.succeed(lease, now) : undefined;
    if (freed === undefined) {
      freed = this.cleanup.release(lease, now, keepFor);
      queue?.review();
    }
    if (this.leases.size === 0) this.onIdle?.();
    return freed;
  }

  releaseLost(lease: Lease): MaybePromise<boolean> {
    return this.cleanup.releaseLost(lease);
  }

  confirmed(lease: Lease): Promise<void> {
    return this.cleanup.confirmed(lease.id);
  }

  vacated(lease: Lease): void {
    if (this.leases.get(lease.stored) !== lease) return;
    this.leases.delete(lease.stored);
    // Those in line have to ask the store now.
    this.admission.queues.get(lease.stored)?.review();
    if (this.leases.size === 0) this.onIdle?.();
  }

  reschedule(lease: Lease): void {
    this.renewer.schedule(lease);
  }

  extend(lock: Lock, leases: readonly Lease[], ttl: number | undefined): Promise<void> {
    return this.renewer.extend(lock, leases, ttl);
  }

  /** Ends all timers and listening. What is still to be released goes on without them. */
  async stop(): Promise<void> {
    this.renewer.stop();
    this.cleanup.stop();
    this.time.letGo();
    this.deadlines.rest();
    const { unsubscribe } = this;
    this.unsubscribe = () => {};
    await unsubscribe?.();
  }

  private hear(event: StoreEvent): void {
    switch (event.type) {
      case 'wake':
        this.admission.woken(event.key);
        return;
      case 'lost': {
        const lease = this.leases.get(event.key);
        if (lease?.id === event.id) lease.lose(event.reason);
        return;
      }
      case 'reconnected':
        this.renewer.verify();
        this.admission.registrations.reconnected();
        return;
      case 'warning':
        this.events.warn(event.code, event.message);
    }
  }
}
