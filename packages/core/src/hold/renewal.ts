import type { Lease } from './lease.ts';
import type { LeaseTiming } from './lease-timing.ts';

/** One request for a lease: owed, or under way. */
export interface Renewal {
  readonly lease: Lease;
  readonly timing: LeaseTiming;
  /** Otherwise the grant is only checked. */
  readonly prolongs: boolean;
  inFlight: boolean;
  /** When the next is due, where that is not simply a part of the ttl after the last one. */
  dueAt: number | undefined;
  /** Those who wait for what is under way, if any. */
  idle: (() => void)[] | undefined;
}

/** One that is about to be sent. The grant keeps it if it is passed on meanwhile. */
export function begin(lease: Lease, timing: LeaseTiming, prolongs: boolean): Renewal {
  if (prolongs) lease.asks(timing.ttl);
  const renewal = { lease, timing, prolongs, inFlight: true, dueAt: undefined, idle: undefined };
  lease.renewal = renewal;
  return renewal;
}

/** From a time on, one is due for a lease. */
export function owe(lease: Lease, at: number): void {
  if (lease.renewal !== undefined) {
    lease.renewal.dueAt = at;
    return;
  }
  const { timing } = lease.settings;
  lease.renewal = { lease, timing, prolongs: false, inFlight: false, dueAt: at, idle: undefined };
}

/** Its answer has come, or is not waited for any more; `holder` has the grant by now. */
export function land(holder: Lease, renewal: Renewal): void {
  renewal.inFlight = false;
  // Not if this is a late answer, and the grant is being renewed again already.
  if (holder.renewal === renewal) holder.renewal = undefined;
  for (const resume of renewal.idle ?? []) resume();
}

/** When a lease has to be renewed or checked. */
export function dueAt({ renewal, renews, anchor, settings }: Lease, checkEvery = Infinity): number {
  if (renewal?.inFlight === true) return Infinity;
  if (renewal?.dueAt !== undefined) return renewal.dueAt;
  return anchor + (renews ? settings.timing.renewEvery : checkEvery);
}

/** The places in a batch of those that may take so many ms. */
export function byTimeout(batch: readonly Renewal[]): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (let place = 0; place < batch.length; place++) {
    // An extension to far more, if it hangs, must leave time to renew what there is.
    const { lease, timing } = batch[place] as Renewal;
    const storeTimeout = Math.min(timing.storeTimeout, lease.settings.timing.storeTimeout);
    const group = groups.get(storeTimeout);
    if (group === undefined) groups.set(storeTimeout, [place]);
    else group.push(place);
  }
  return groups;
}
