import { KeyQueues } from './acquire/key-queues.ts';
import { Events } from './events.ts';
import { HeldLocks } from './hold/held-locks.ts';
import { LeaseTimings } from './hold/lease-timing.ts';
import { Renewer } from './hold/renewer.ts';
import type { LockerSettings } from './options.ts';
import { Releases } from './release/releases.ts';
import { MAX_TOKENS, type LockStore, type MaybePromise, type StoreEvent } from './store.ts';
import { MemoryStore } from './stores/memory.ts';
import { Answers } from './util/answers.ts';
import { Ids } from './util/ids.ts';
import { Notices } from './util/notices.ts';
import { StoreCalls } from './util/store-calls.ts';
import { Time, type Clock } from './util/time.ts';
import { Timeouts } from './util/timeouts.ts';

/**
 * One locker behind its door: its store and settings, the services that its parts share, and the parts
 * themselves.
 */
export class Context {
  readonly notices = new Notices();
  readonly answers = new Answers();
  readonly time: Time;
  readonly events: Events;
  /** Of requests. */
  readonly timeouts: Timeouts;
  /** Of acquisitions that wait. */
  readonly limits: Timeouts;
  readonly calls: StoreCalls;
  readonly ids: Ids;
  readonly timings: LeaseTimings;
  readonly queues: KeyQueues;
  readonly held: HeldLocks;
  readonly renewer: Renewer;
  readonly releases: Releases;
  /** This locker, to the store. */
  readonly client: string;
  /** How many fencing tokens a grant is asked for: one more than it may be passed on. */
  readonly tokens: number;
  /** The store, if it is the embedded one and goes by the clock of this locker. */
  readonly embedded: MemoryStore | undefined;
  /** Whether it listens to the store, as it does from the first request on. */
  subscribed = false;
  private unsubscribe: (() => MaybePromise<void>) | undefined = undefined;

  constructor(
    readonly store: LockStore,
    readonly settings: LockerSettings,
    clock: Clock,
  ) {
    this.time = new Time(clock, this.notices, () => this.renewer.verify());
    this.events = new Events(settings.name, store.name, this.notices);
    this.timeouts = new Timeouts(this.time, true);
    this.limits = new Timeouts(this.time, false);
    this.calls = new StoreCalls(this.time, this.timeouts, this.events);
    this.ids = new Ids(this.time);
    this.timings = new LeaseTimings(store, this.time, settings);
    this.queues = new KeyQueues(this);
    this.held = new HeldLocks(this);
    this.renewer = new Renewer(this);
    this.releases = new Releases(this);
    this.client = this.time.identity();
    this.embedded = store instanceof MemoryStore && store.clock === clock ? store : undefined;
    this.tokens = Math.min((settings.handoff?.max ?? 0) + 1, MAX_TOKENS);
  }

  /** Begins to listen to the store. */
  subscribe(): void {
    this.subscribed = true;
    this.unsubscribe ??= this.store.subscribe(this.client, (event) => this.hear(event));
  }

  /** Ends all timers and listening. What is still to be released goes on without them. */
  async stop(): Promise<void> {
    this.renewer.stop();
    this.releases.stop();
    this.time.letGo();
    this.timeouts.rest();
    const { unsubscribe } = this;
    this.unsubscribe = () => {};
    await unsubscribe?.();
  }

  private hear(event: StoreEvent): void {
    switch (event.type) {
      case 'wake':
        this.queues.woken(event.key);
        return;
      case 'lost': {
        this.held.find(event.key, event.id)?.lose(event.reason);
        return;
      }
      case 'reconnected':
        this.renewer.verify();
        this.queues.registrations.reconnected();
        return;
      case 'warning':
        this.events.warn(event.code, event.message);
    }
  }
}
