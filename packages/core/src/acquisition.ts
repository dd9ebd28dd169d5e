import type { Lock } from './api.ts';
import type { Engine } from './engine.ts';
import { LockStoreError } from './errors.ts';
import { isFresh, type Grant } from './lease.ts';
import { eventOf, HeldLock } from './lock.ts';
import { MultiLock, Part } from './multi-lock.ts';
import type { Plan } from './plan.ts';
import type { MaybePromise } from './store.ts';
import type { Alarm } from './time.ts';
import { Waiter, type WaiterOutcome } from './waiter.ts';

/**
 * How long, in ms, after its limit an acquisition whose first request is still under way waits for the
 * answer: a limit shorter than a round trip must not make a busy lock look like an outage.
 */
const GRACE = 50;

/** A key, and what the store calls it. */
export interface NamedKey {
  readonly key: string;
  readonly stored: string;
}

type Result = { readonly lock: Lock | null } | { readonly error: unknown };

/** One call for a lock: takes its keys one after the other, until it holds all or must give up. */
export class Acquisition implements WaiterOutcome {
  private readonly engine: Engine;
  private readonly single: boolean;
  private startedAt = 0;
  private waiter: Waiter | undefined = undefined;
  private parts: Part[] = [];
  private pumping = false;
  private told = false;
  private alarm: Alarm | undefined = undefined;
  private result: Result | undefined = undefined;
  private resolve: ((lock: Lock | null) => void) | undefined = undefined;
  private reject: ((error: unknown) => void) | undefined = undefined;

  constructor(
    private readonly plan: Plan,
    /** As the caller gave them, without duplicates. */
    private readonly keys: readonly string[],
    /** In the one order in which everybody takes them. */
    private readonly ordered: readonly NamedKey[],
  ) {
    this.engine = plan.engine;
    this.single = plan.wait === 0;
  }

  get key(): string {
    return this.keys[0] as string;
  }

  /** How long it has waited, in ms. */
  get waited(): number {
    return this.engine.time.now() - this.startedAt;
  }

  /** @returns the lock, or `null` where it was busy for as long as the caller would wait */
  start(): MaybePromise<Lock | null> {
    const { engine, plan } = this;
    plan.signal?.throwIfAborted();
    this.startedAt = engine.time.now();
    this.pump();
    if (this.result !== undefined) {
      if ('error' in this.result) throw this.result.error as Error;
      return this.result.lock;
    }
    engine.acquisitions.add(this);
    plan.signal?.addEventListener('abort', this, { once: true });
    if (!this.single && plan.wait !== Infinity) {
      this.alarm = engine.time.after(plan.wait, () => this.limitReached(), false);
    }
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  /** The caller's signal was aborted. */
  handleEvent(): void {
    this.cancel(this.plan.signal?.reason);
  }

  cancel(reason: unknown): void {
    this.giveBack();
    this.settle({ error: reason });
  }

  waits(): void {
    const { engine, plan, told } = this;
    this.told = true;
    if (!told && engine.events.heard('waiting')) engine.events.emit('waiting', this.about(plan));
  }

  granted(waiter: Waiter, grant: Grant): void {
    const { engine, keys, ordered, plan } = this;
    const { key, stored } = waiter;
    const now = engine.time.now();
    this.waiter = undefined;
    if (ordered.length === 1) {
      const lock = new HeldLock(plan, key, stored, grant, now);
      engine.hold(lock);
      this.succeed(lock, now);
      return;
    }
    const part = new Part(plan, key, stored, grant, now, this);
    this.parts.push(part);
    engine.hold(part);
    if (this.parts.length === ordered.length) this.complete(keys);
    else this.pump();
  }

  busy(): void {
    this.notAcquired();
  }

  failed(error: LockStoreError): void {
    this.waiter = undefined;
    this.giveBack();
    this.settle({ error });
  }

  /** One of several keys is lost before all are taken: all are given back, and it starts again. */
  partLost(): void {
    if (this.result !== undefined) return;
    this.giveBack();
    if (this.single) this.notAcquired();
    else this.pump();
  }

  /** Takes key after key, for as long as they come at once. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    while (this.result === undefined && this.waiter === undefined) {
      const next = this.ordered[this.parts.length];
      if (next === undefined) break;
      this.waiter = new Waiter(this.plan, next.key, next.stored, this);
      this.engine.request(this.waiter, this.single);
    }
    this.pumping = false;
  }

  /** All keys are taken. Those that were taken long ago are renewed first, see contract 3.4. */
  private complete(keys: readonly string[]): void {
    const { engine, plan } = this;
    const now = engine.time.now();
    const parts = this.parts;
    const old = parts.filter((part) => !isFresh(part.anchor, plan.terms, now));
    if (old.length === 0) {
      this.succeed(new MultiLock(plan, keys, parts, now), now);
      return;
    }
    const again = (): void => {
      if (this.result === undefined && this.parts === parts) this.partLost();
    };
    engine.renewer.renewNow(old, plan.terms).then(() => {
      const fresh = parts.every((part) => isFresh(part.anchor, plan.terms, engine.time.now()));
      if (fresh && this.result === undefined && this.parts === parts) {
        this.succeed(new MultiLock(plan, keys, parts, engine.time.now()), engine.time.now());
      } else {
        again();
      }
    }, again);
  }

  private succeed(lock: Lock, now: number): void {
    const { events } = this.engine;
    if (events.heard('acquired')) {
      events.emit('acquired', { ...eventOf(lock), waited: now - this.startedAt });
    }
    this.settle({ lock });
  }

  private notAcquired(): void {
    const { engine, plan } = this;
    this.waiter = undefined;
    this.giveBack();
    if (engine.events.heard('not-acquired')) {
      engine.events.emit('not-acquired', { ...this.about(plan), waited: this.waited });
    }
    this.settle({ lock: null });
  }

  private limitReached(): void {
    const { engine, waiter } = this;
    const contender = waiter && engine.queues.get(waiter.stored)?.contender;
    const known = contender === undefined ? 'busy' : contender.known;
    if (known === 'busy') {
      this.notAcquired();
    } else if (known !== undefined) {
      this.cancel(known);
    } else if (this.waited < this.plan.wait + GRACE) {
      this.alarm = engine.time.after(GRACE, () => this.limitReached(), false);
    } else {
      const message = 'The store did not answer within the limit of the wait.';
      const error = new LockStoreError(message, { phase: 'acquire', key: waiter?.key });
      this.cancel(engine.calls.errorFrom('acquire', waiter?.key, error));
    }
  }

  /** Withdraws the wish that is open and releases what was taken, last first. */
  private giveBack(): void {
    const { waiter, parts } = this;
    this.waiter = undefined;
    this.parts = [];
    if (waiter !== undefined) this.engine.withdraw(waiter);
    for (const part of parts.toReversed()) void part.finish();
  }

  private settle(result: Result): void {
    if (this.result !== undefined) return;
    this.result = result;
    if (this.resolve === undefined) return;
    const { engine, plan } = this;
    engine.acquisitions.delete(this);
    engine.time.cancel(this.alarm);
    plan.signal?.removeEventListener('abort', this);
    if ('error' in result) this.reject?.(result.error);
    else this.resolve(result.lock);
  }

  private about(plan: Plan): { key: string; keys: readonly string[]; label: string; owner?: string | undefined } {
    const { keys } = this;
    return { key: keys[0] as string, keys, label: this.engine.label, owner: plan.owner };
  }
}
