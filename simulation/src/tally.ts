import type { LossReason } from '@holdfast/core';

/** The faults that a simulation knows. */
const FAULTS = [
  'fail-before',
  'fail-after',
  'drop-request',
  'drop-reply',
  'drop-message',
  'delay',
  'duplicate',
  'steal',
  'evict',
  'forget',
  'pause',
  'suspend',
  'step',
] as const;
type FaultName = (typeof FAULTS)[number];

const LOSSES = [
  'expired',
  'stolen',
  'evicted',
  'superseded',
  'forced',
  'max-hold',
  'closed',
] as const satisfies readonly LossReason[];

const DEEDS = [
  'operations',
  'grants',
  'permits',
  'conflicts',
  'crashes',
  'terms',
  'deeds of leaders',
  'hand-offs',
  'take-overs',
  'aborts',
  'refusals',
  'extensions',
] as const;

/** What happens only where callbacks misbehave. */
const MISDEED = 'misdeeds';

type Counted =
  | typeof MISDEED
  | (typeof DEEDS)[number]
  | `fault ${FaultName}`
  | `lost ${(typeof LOSSES)[number]}`;

/** What simulations saw: each of these must have happened, or they have shown nothing. */
export class Tally {
  private readonly counts = new Map<Counted, number>();

  constructor() {
    for (const deed of DEEDS) this.counts.set(deed, 0);
    for (const reason of LOSSES) this.counts.set(`lost ${reason}`, 0);
    for (const fault of FAULTS) this.counts.set(`fault ${fault}`, 0);
  }

  count(what: Counted, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  add(other: Tally): void {
    for (const [what, times] of other.counts) this.count(what, times);
  }

  /** For another process. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(this.counts);
  }

  static from(counts: Record<string, number>): Tally {
    const tally = new Tally();
    for (const [what, times] of Object.entries(counts)) tally.count(what as Counted, times);
    return tally;
  }

  get missing(): string[] {
    return [...this.counts].filter(([, times]) => times === 0).map(([what]) => what);
  }

  toString(): string {
    return [...this.counts].map(([what, times]) => `${what} ${times}`).join(', ');
  }
}
