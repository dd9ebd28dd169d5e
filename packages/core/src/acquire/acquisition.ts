import type { Lock } from '../types.ts';
import { listen, unlisten } from '../util/abort-listeners.ts';
import type { Attempt } from './contender.ts';
import {
  LockerClosedError,
  LockNotAcquiredError,
  LockStoreError,
  type LockLostError,
  type LockQueueFullError,
} from '../errors.ts';
import type { NotAcquiredReason } from '../events.ts';
import { isFresh, type Grant, type Plan } from '../hold/lease.ts';
import { HeldLock } from '../hold/lock.ts';
import { MultiLock, Part, type PartHolder } from '../hold/multi-lock.ts';
import { CAME_LATE, copyOf } from '../util/store-calls.ts';
import type { Alarm } from '../util/time.ts';
import { withTrace, type Trace } from '../util/traces.ts';
import type { KeyQueues } from './key-queues.ts';
import { Waiter, type NamedKey } from './waiter.ts';

/**
 * How long, in ms, after its limit an acquisition whose first request is still under way waits for the
 * answer: a limit shorter than a round trip must not make a busy lock look like an outage.
 */
const GRACE = 50;

/** ms before an acquisition of several keys that lost one starts again; more each time. */
const FIRST_REST = 50;
const LONGEST_REST = 1_000;

/** Several keys. */
export interface KeyList {
  /** As the caller gave them, without duplicates. */
  readonly keys: readonly string[];
  /** In the one order in which everybody takes them. */
  readonly ordered: readonly [NamedKey, ...NamedKey[]];
}

/** One call for a lock: takes its keys one after the other, until it holds all or must give up. */
export class Acquisition extends Waiter implements PartHolder {
  readonly lock: Promise<Lock | null>;
  private readonly list: KeyList | undefined;
  /** Whether a lock that stays busy is an error; otherwise it is `null`. */
  private readonly demanding: boolean;
  private parts: Part[] | undefined;
  private alarm: Alarm | undefined = undefined;
  /** Before it starts again. */
  private rest: Alarm | undefined = undefined;
  private restarts = 0;
  private pumping = false;
  private settled = false;
  /** Of the call, for errors that end its wait. */
  private readonly trace: Trace | undefined;
  private resolve!: (lock: Lock | null) => void;
  private reject!: (error: unknown) => void;

  /** @param first the attempt for a single key, if it was sent already */
  constructor(
    private readonly admission: KeyQueues,
    plan: Plan,
    wanted: NamedKey,
    demanding: boolean,
    first?: Attempt,
    list?: KeyList,
  ) {
    const { signal, wait } = plan;
    const { time } = admission;
    super(admission, plan, wanted, first?.sentAt ?? time.now(), first?.id);
    this.list = list;
    this.parts = list === undefined ? undefined : [];
    this.demanding = demanding;
    this.lock = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    listen(signal, this);
    if (list === undefined) admission.request(this, first);
    else this.pump();
    // A single attempt may take as long as one request, however many keys it is for.
    const limit = wait === 0 ? plan.terms.storeTimeout : wait;
    if (!this.settled && limit !== Infinity) {
      this.alarm = time.after(limit, () => this.limitReached(), false);
    }
    this.trace = this.settled ? undefined : admission.traces.here(this.since);
  }

  /** For a list of keys, whose order is the store's. */
  static ofList(admission: KeyQueues, plan: Plan, list: KeyList, demanding: boolean): Acquisition {
    return new Acquisition(admission, plan, list.ordered[0], demanding, undefined, list);
  }

  /** The caller's signal was aborted. */
  handleEvent(): void {
    this.end('aborted', () => this.reject(this.plan.signal?.reason));
  }

  close(): void {
    this.end('closed', () => this.rejectWith(new LockerClosedError({ key: this.firstKey })));
  }

  waits(): void {
    const { admission } = this;
    const { events } = admission;
    if (this.waiting) return;
    this.waiting = true;
    admission.waiting += 1;
    if (events.heard('waiting')) events.emit('waiting', this.about());
  }

  busy(): void {
    this.end('busy', (waited) => {
      const { wait } = this.plan;
      if (!this.demanding) this.resolve(null);
      else this.rejectWith(new LockNotAcquiredError({ key: this.firstKey, waited, wait }));
    });
  }

  refused(error: LockQueueFullError): void {
    this.end('queue-full', () => this.rejectWith(error));
  }

  failed(error: LockStoreError): void {
    // It may be about a request for many keys, or for another of ours, and be told to others too.
    this.end('store-error', () => this.rejectWith(copyOf(error, this.firstKey)));
  }

  /** One of several keys is lost before all are taken: all are given back, and it starts again. */
  partLost(_error: LockLostError, part: Part): void {
    // Not if it is being given back already.
    if (this.parts?.includes(part) === true) this.startAgain();
  }

  protected granted(grant: Grant, now: number): void {
    const { plan, key, stored, parts, list } = this;
    if (parts === undefined || list === undefined) {
      this.succeed(new HeldLock(plan, key, stored, grant, now), now);
      return;
    }
    parts.push(new Part(plan, key, stored, grant, now, this));
    if (parts.length === list.ordered.length) this.complete(parts, list);
    else this.pump();
  }

  /** Takes back what was taken or asked for, and tells of the end. */
  private end(reason: NotAcquiredReason, settle: (waited: number) => void): void {
    if (this.settled) return;
    const { events, time } = this.admission;
    this.settle();
    this.giveBack();
    const waited = time.now() - this.since;
    settle(waited);
    // Nobody was told that the others wait.
    const told = reason === 'busy' || reason === 'queue-full' || this.waiting;
    if (told && events.heard('not-acquired')) {
      events.emit('not-acquired', { ...this.about(), waited, reason });
    }
  }

  private rejectWith(error: Error): void {
    this.reject(withTrace(error, this.trace));
  }

  private startAgain(): void {
    const { wait } = this.plan;
    const { time, unqueued } = this.admission;
    this.giveBack();
    if (wait === 0) {
      this.busy();
      return;
    }
    // Two that take keys from each other, as tasks with one owner do, must not do so without a rest.
    const delay = time.random() * Math.min(this.restarts * FIRST_REST, LONGEST_REST);
    this.restarts += 1;
    unqueued.add(this);
    this.rest = time.after(delay, () => this.pump(), true);
  }

  /** Takes key after key, for as long as they come at once. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    this.admission.unqueued.delete(this);
    this.done = true;
    while (!this.settled && this.done) {
      const next = this.list?.ordered[this.parts?.length ?? 0];
      if (next === undefined) break;
      const first = this.admission.first(this.plan, next.stored);
      this.turnTo(next.key, next.stored, first?.id);
      this.admission.request(this, first);
    }
    this.pumping = false;
  }

  /** All keys are taken. Those that were taken long ago are renewed first, see contract 3.4. */
  private complete(parts: readonly Part[], { keys }: KeyList): void {
    const { plan, admission } = this;
    const { time, unqueued, calls } = admission;
    const old = (): Part[] => {
      const now = time.checkedNow();
      return parts.filter((part) => !isFresh(part.anchor, plan.terms, now));
    };
    const finish = (error?: LockStoreError): void => {
      if (this.parts !== parts) return;
      unqueued.delete(this);
      const now = time.now();
      if (old().length === 0) this.succeed(new MultiLock(plan, keys, parts, now), now);
      else if (plan.wait > 0) this.startAgain();
      // Nobody else has it: for a single attempt too, that is not contention.
      else this.failed(calls.errorFrom('acquire', keys[0], new Error(CAME_LATE, { cause: error })));
    };
    const stale = old();
    if (stale.length === 0) {
      finish();
    } else {
      unqueued.add(this);
      admission.renewer.renewNow(stale, plan.terms).then(() => finish(), finish);
    }
  }

  private succeed(lock: HeldLock | MultiLock, now: number): void {
    this.settle();
    lock.announce(now - this.since);
    this.resolve(lock);
  }

  private limitReached(): void {
    const { wait } = this.plan;
    const { time, calls, queues } = this.admission;
    const contender = queues.get(this.stored)?.contender;
    const waiting = contender === undefined ? 'busy' : contender.known;
    const known = wait === 0 ? undefined : waiting;
    if (known === 'busy') {
      this.busy();
    } else if (known !== undefined) {
      this.failed(known);
    } else if (wait > 0 && time.now() - this.since < wait + GRACE) {
      this.alarm = time.after(GRACE, () => this.limitReached(), false);
    } else {
      const message = 'The store did not answer within the limit of the wait.';
      const error = new LockStoreError(message, { phase: 'acquire', key: this.key });
      this.failed(calls.errorFrom('acquire', this.key, error));
    }
  }

  /** Withdraws the wish that is open and releases what was taken, last first. */
  private giveBack(): void {
    const { parts } = this;
    if (parts !== undefined) this.parts = [];
    if (!this.done) this.admission.withdraw(this);
    for (const part of parts?.toReversed() ?? []) void part.finish();
  }

  private settle(): void {
    const { time, unqueued } = this.admission;
    this.settled = true;
    if (this.waiting) this.admission.waiting -= 1;
    if (this.alarm !== undefined) time.cancel(this.alarm);
    if (this.rest !== undefined) time.cancel(this.rest);
    if (this.list !== undefined) unqueued.delete(this);
    unlisten(this.plan.signal, this);
  }

  private get firstKey(): string {
    return this.list?.keys[0] ?? this.key;
  }

  private about(): {
    key: string;
    keys: readonly string[];
    label: string;
    owner: string | undefined;
  } {
    const { owner } = this.plan;
    const keys = this.list?.keys ?? [this.key];
    return { key: this.firstKey, keys, label: this.plan.label, owner };
  }
}
