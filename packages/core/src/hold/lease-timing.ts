import { LockArgumentError } from '../errors.ts';
import { checkDuration, MAX_TTL } from '../options.ts';
import type { LockStore } from '../store.ts';
import type { Time } from '../util/time.ts';

/** The arithmetic of a lease of one `ttl`, in ms, all counted from before its request was sent. */
export interface LeaseTiming {
  readonly ttl: number;
  /** When the lease ends: what the store promises, less an allowance for drifting clocks. */
  readonly lease: number;
  /** Until when a holder may use it: the lease less the safety margin. That is the signal point. */
  readonly usable: number;
  /** How long one request may take. */
  readonly storeTimeout: number;
  /** Renewed at this age, and when others are renewed already at `renewFrom`. */
  readonly renewEvery: number;
  readonly renewFrom: number;
  /** Before this age there is nothing to do for a lease. */
  readonly idleFor: number;
  /** After a failed renewal, at most this often. */
  readonly retryEvery: number;
}

/**
 * For stores: by how many ms two clocks may differ after `ttl` ms. Their rates may differ by 1 %, and a
 * tick is lost to rounding at each end.
 *
 * @example
 * ```ts
 * const lease = ttl - driftOf(ttl);
 * ```
 */
export function driftOf(ttl: number): number {
  return ttl * 0.01 + 2;
}

export interface LeaseTimingOptions {
  readonly safetyMargin: number | undefined;
  readonly storeTimeout: number | undefined;
}

function termsFor(ttl: number, store: LockStore, options: LeaseTimingOptions): LeaseTiming {
  const { sharedClock, checkEvery = Infinity } = store.capabilities;
  const drift = sharedClock ? 0 : driftOf(ttl);
  if (options.safetyMargin !== undefined && options.safetyMargin > ttl / 3) {
    throw new LockArgumentError('`safetyMargin` is above a third of the ttl.');
  }
  const lease = (store.leaseFor?.(ttl) ?? ttl) - drift;
  const margin =
    options.safetyMargin === undefined
      ? Math.min(Math.max(ttl / 10, 50), 2_000, ttl / 4)
      : Math.ceil(options.safetyMargin);
  const renewEvery = Math.min(ttl / 3, checkEvery);
  return {
    ttl,
    lease,
    usable: lease - margin,
    storeTimeout: options.storeTimeout ?? Math.min(ttl / 2, 2_000),
    renewEvery,
    renewFrom: Math.min(ttl / 4, checkEvery * 0.75),
    idleFor: Math.min(renewEvery, lease - margin),
    retryEvery: Math.max(50, ttl / 20),
  };
}

/** The timing of a locker's locks. A locker meets few different ttls, so the last ones are kept. */
export class LeaseTimings {
  private readonly known = new Map<number, LeaseTiming>();

  constructor(
    private readonly store: LockStore,
    private readonly time: Time,
    private readonly options: LeaseTimingOptions,
  ) {}

  /** @throws LockArgumentError for a ttl that the store or the safety margin does not allow. */
  for(ttl: number): LeaseTiming {
    const known = this.known.get(ttl);
    if (known !== undefined) return known;
    const rounded = checkDuration('ttl', ttl, this.store.capabilities.minTtl, MAX_TTL);
    const timing = termsFor(rounded, this.store, this.options);
    if (this.known.size >= 64) this.known.clear();
    this.known.set(ttl, timing);
    // A sleep that is not noticed must leave half of the margin. An embedded store sleeps with us.
    if (!this.store.capabilities.sharedClock) this.time.notice((timing.lease - timing.usable) / 2);
    return timing;
  }
}
