import type { Unwanted } from '../release/releases.ts';
import type { LockQueueFullError, LockStoreError } from '../errors.ts';
import type { Grant, Lease, Plan } from '../hold/lease.ts';
import type { AcquireReply, MaybePromise } from '../store.ts';

/** A key, and what the store calls it. */
export interface NamedKey {
  readonly key: string;
  readonly stored: string;
}

/** Where waiters ask. */
export interface Counter {
  /** A new id for an acquisition. */
  newId(): string;
  ask(
    plan: Plan,
    stored: string,
    id: string,
    wait: boolean,
    replaces?: string,
  ): MaybePromise<AcquireReply>;
}

/**
 * One who wants a key: what the queue and the contender know of an acquisition. It wants one key at a
 * time.
 */
export abstract class Waiter {
  readonly plan: Plan;
  key: string;
  stored: string;
  /** Its neighbours in the key's queue. */
  previous: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queued = false;
  /** When it began to wait. */
  since: number;
  /** The key was granted, or is not wanted any more. */
  done = false;
  /** Whether it was told that a key is busy: from then on it counts as waiting. */
  waiting = false;
  /** Whether an attempt was made whose outcome is not known. */
  unsure = false;
  private ownId: string | undefined;

  constructor(
    private readonly counter: Counter,
    plan: Plan,
    { key, stored }: NamedKey,
    since: number,
    id: string | undefined,
  ) {
    this.plan = plan;
    this.key = key;
    this.stored = stored;
    this.since = since;
    this.ownId = id;
  }

  /** The key is busy, and it waits. May be told again. */
  abstract waits(): void;
  /** A single attempt found the key busy. */
  abstract busy(): void;
  abstract failed(error: LockStoreError): void;
  /** Too many wait already. */
  abstract refused(error: LockQueueFullError): void;
  /** The locker is closed. */
  abstract close(): void;
  /** Makes the lease. */
  protected abstract granted(grant: Grant, now: number): void;

  /** Of the acquisition at the store: a repeated attempt recognises its own earlier grant. */
  get id(): string {
    return (this.ownId ??= this.counter.newId());
  }

  grant(grant: Grant, now: number): void {
    this.done = true;
    this.granted(grant, now);
  }

  fail(error: LockStoreError): void {
    this.done = true;
    this.failed(error);
  }

  /** Asks the store. */
  ask(wait: boolean, replaces?: string): MaybePromise<AcquireReply> {
    return this.counter.ask(this.plan, this.stored, this.id, wait, replaces);
  }

  /** What it has asked the store for. */
  get attempt(): Unwanted {
    const { key, stored, id, plan } = this;
    return { key, stored, id, terms: plan.terms };
  }

  /** From now on it asks under a new id: the old one is being taken back. */
  renounce(id: string | undefined = this.ownId): void {
    if (this.ownId !== id) return;
    this.ownId = undefined;
    this.unsure = false;
  }

  /** Whether a grant to this id would be recognised by a later attempt. */
  wants(id: string): boolean {
    return !this.done && this.ownId === id;
  }

  /** Whether a holder of this process may pass its grant on to it, by what does not change. */
  canTakeFrom(lease: Lease): boolean {
    const { plan } = this;
    const { terms, owner, renew, asked } = lease.plan;
    return (
      plan.owner === undefined &&
      owner === undefined &&
      asked === undefined &&
      plan.terms.ttl === terms.ttl &&
      plan.renew &&
      renew
    );
  }

  /** Begins anew with another key. */
  protected turnTo(key: string, stored: string, id: string | undefined): void {
    this.key = key;
    this.stored = stored;
    this.ownId = id;
    this.done = false;
    this.unsure = false;
  }
}
