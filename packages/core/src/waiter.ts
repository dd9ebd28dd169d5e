import type { LockStoreError } from './errors.ts';
import type { Grant, Lease } from './lease.ts';
import type { Plan } from './plan.ts';

/** What an acquisition does with what becomes of its wish for one key. */
export interface WaiterOutcome {
  /** The key is busy, and the waiter waits. May be told again. */
  waits(): void;
  /** Makes the lease. */
  granted(waiter: Waiter, grant: Grant): void;
  /** A single attempt found the key busy. */
  busy(): void;
  failed(error: LockStoreError): void;
}

/** An acquisition's wish for one key. Queued with others of its process when the key is busy. */
export class Waiter {
  /** Of the acquisition at the store: a repeated attempt recognises its own earlier grant. */
  id: string;
  /** Its neighbours in the queue. */
  previous: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queued = false;
  /** When it joined the queue. */
  since = 0;
  /** Granted, failed or withdrawn. */
  done = false;
  /** Whether an attempt was made whose outcome is not known. */
  unsure = false;

  constructor(
    readonly plan: Plan,
    readonly key: string,
    readonly stored: string,
    readonly outcome: WaiterOutcome,
  ) {
    this.id = plan.engine.ids.next();
  }

  grant(grant: Grant): void {
    this.done = true;
    this.outcome.granted(this, grant);
  }

  fail(error: LockStoreError): void {
    this.done = true;
    this.outcome.failed(error);
  }

  /** Whether a grant to this id would be recognised by a later attempt. */
  wants(id: string): boolean {
    return !this.done && this.id === id;
  }

  /** Whether a holder's grant may be passed on to it, by what does not change while it waits. */
  canTakeFrom(lease: Lease): boolean {
    const { plan } = this;
    const { terms, owner, renew } = lease.plan;
    return (
      lease.spare > 0 &&
      plan.owner === undefined &&
      owner === undefined &&
      plan.terms.ttl === terms.ttl &&
      plan.renew &&
      renew
    );
  }
}
