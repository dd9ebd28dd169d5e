import type { Lease } from '../../packages/core/src/hold/lease.ts';
import type { LeaseTiming } from '../../packages/core/src/hold/lease-timing.ts';
import { checkBeside } from './beside.ts';
import type { KnownGrant, Oracle } from './oracle.ts';
import type { Process } from './process.ts';
import { violated } from './violation.ts';

/** Timers come with whole ms, so a signal may be so much late. */
const TICK = 1;

/** So many ms more or less cannot be told on a wall clock: the ms since 1970 are a large number. */
const GRAIN = 0.001;

/** The private parts of an engine's time, to know it without moving it. */
interface TimeParts {
  readonly suspended: number;
  readonly wallOffset: number;
  readonly bootOffset: number;
  readonly noticeable: number;
}

/** A lease that somebody holds, as it was seen last. */
interface Seen {
  readonly lease: Lease;
  readonly process: Process;
  readonly grant: KnownGrant;
  /** When it was to end, at the latest. */
  end: number;
  /** The process's own time, as `assertHeld()` would see it now. */
  now: number;
  /** ms that its machine slept, too short to notice. */
  unnoticed: number;
  /** How long its process knew its machine to have slept, in ms. */
  suspended: number;
  /** How long it is, and its margin: both change with an extension to another ttl. */
  timing: LeaseTiming;
  /** When one of these changed last. */
  changedAt: number;
  /** Of the last look at which it was held. */
  look: number;
  /** One that holds the same key. */
  beside: Seen | undefined;
}

/** The default safety margin, computed here again: a wrong one must not excuse itself. */
function marginOf(ttl: number): number {
  return Math.min(Math.max(ttl / 10, 50), 2_000, ttl / 4);
}

/** Checks after every step what must be true of all processes together. */
export class Invariants {
  /** Those that are held. */
  private readonly seen = new Map<Lease, Seen>();
  /** Those that have ended. */
  private readonly over = new WeakSet<Lease>();
  /** By key: the last one of its holders who passes `assertHeld()`. */
  private readonly holders = new Map<string, Seen>();
  /** The last token that was seen of each grant. */
  private readonly tokens = new Map<KnownGrant, number>();
  private looks = 0;

  constructor(
    private readonly oracle: Oracle,
    private readonly processes: readonly Process[],
  ) {}

  /** It runs after each of very many steps, and so makes nothing that it can do without. */
  check(): void {
    this.looks += 1;
    const { holders } = this;
    holders.clear();
    for (const process of this.processes) {
      if (process.context.held.size === 0) continue;
      const { now, unnoticed, unseen } = timeOf(process);
      for (const lease of process.context.held.values()) {
        const seen = this.seen.get(lease) ?? this.begins(lease, process);
        const { suspended } = process.context.time;
        const { timing } = lease.settings;
        if (seen.suspended !== suspended || seen.timing !== timing) {
          seen.changedAt = process.machine.now();
        }
        seen.suspended = suspended;
        seen.timing = timing;
        seen.look = this.looks;
        seen.now = now;
        seen.unnoticed = unnoticed;
        checkOne(seen, unseen);
        if (!passes(seen)) continue;
        seen.beside = holders.get(lease.stored);
        holders.set(lease.stored, seen);
      }
    }
    for (const [lease, { look }] of this.seen) {
      if (look === this.looks) continue;
      this.seen.delete(lease);
      this.over.add(lease);
    }
    for (const [key, last] of holders) {
      if (last.beside !== undefined) checkOverlap(key, last);
      for (let one: Seen | undefined = last; one !== undefined; one = one.beside) {
        this.checkBelief(key, one);
      }
    }
  }

  /** A new holder has a token of its grant, larger than all that were seen of it before. */
  private begins(lease: Lease, process: Process): Seen {
    const { id, token, endsAt } = lease;
    // What has ended stays so.
    if (this.over.has(lease)) violated('never-revived', `${lease.key} is held again`);
    const grant = this.oracle.grantOf(id, token);
    if (grant === undefined) violated('token-of-grant', `${token} was never granted to it`);
    const last = this.tokens.get(grant) ?? 0;
    if (token <= last) violated('token-of-grant', `${token} after ${last}`);
    this.tokens.set(grant, token);
    const { suspended } = process.context.time;
    const { timing } = lease.settings;
    const never = { now: 0, unnoticed: 0, changedAt: -Infinity, look: 0, beside: undefined };
    const seen = { lease, process, grant, end: endsAt, suspended, timing, ...never };
    this.seen.set(lease, seen);
    return seen;
  }

  /** What a holder believes to have, the server grants: unless the lease was ended early. */
  private checkBelief(key: string, { lease, grant, now, unnoticed }: Seen): void {
    if (grant.endedEarly) return;
    const current = this.oracle.holders(key).find(({ token }) => token === grant.token);
    checkSleep(lease, unnoticed);
    // The margin covers the rest.
    const believed = lease.endsAt - now - unnoticed;
    if (current === undefined) {
      violated('belief', `${key} is believed to be held for ${believed} ms, and is not`);
    }
    const left = current.ends - this.oracle.now;
    if (left < believed - 0.001) {
      violated('belief', `${key}: ${believed} ms are believed, ${left} are left`);
    }
  }
}

/** Whether a sleep that should be noticed is not. */
export function isHidden({ settings }: Lease, unnoticed: number): boolean {
  return unnoticed > marginOf(settings.timing.ttl) / 2 + GRAIN;
}

/** A sleep that takes more than half of the safety margin is noticed. */
export function checkSleep(lease: Lease, unnoticed: number): void {
  if (isHidden(lease, unnoticed)) {
    violated('belief', `a sleep of ${unnoticed} ms is not noticed`);
  }
}

/** @param unseen ms of `now` that the process does not know of yet */
function checkOne(seen: Seen, unseen: number): void {
  const { lease, process, now, end, changedAt } = seen;
  const { machine } = process;
  const { endsAt } = lease;
  const margin = marginOf(lease.settings.timing.ttl);
  // A sleep that was too short to notice shows at the next jump of the wall clock, when somebody looks.
  const late = now - Math.min(unseen, margin / 2) - (endsAt - margin);
  // When a look has shown that it is over, the next timer fires the signal.
  const justSeen = machine.now() - changedAt <= TICK;
  if (late > TICK && !justSeen && !machine.paused && !machine.catchingUp) {
    violated('signal-fired', `held ${late} ms after its signal point`);
  }
  if (endsAt < end - 1) {
    violated('never-shortened', `a lease that ended at ${end} now ends at ${endsAt}`);
  }
  seen.end = Math.max(end, endsAt);
}

/**
 * A holder is beside those before it only if their locks can be shared so, or their leases ended early.
 */
function checkOverlap(key: string, last: Seen): void {
  const all: Seen[] = [];
  for (let one: Seen | undefined = last; one !== undefined; one = one.beside) all.unshift(one);
  const valid: Lease[] = [];
  for (const { lease, grant } of all.toSorted((a, b) => a.lease.token - b.lease.token)) {
    checkBeside(key, lease, valid);
    if (!grant.endedEarly) valid.push(lease);
  }
}

/** What the process's engine will take to be the time as soon as it looks. */
export function timeOf({ context, machine }: Process): {
  now: number;
  unnoticed: number;
  unseen: number;
} {
  const { suspended, wallOffset, bootOffset, noticeable } = context.time as unknown as TimeParts;
  const monotonic = machine.now();
  const jump = machine.wallNow() - monotonic - wallOffset;
  const jumped = Math.abs(jump) > noticeable;
  const slept = Math.max(0, machine.bootNow() - monotonic - bootOffset);
  const now = monotonic + suspended;
  return jumped
    ? { now: now + slept, unnoticed: 0, unseen: slept }
    : { now, unnoticed: slept, unseen: 0 };
}

export function passes({ lease, now }: Pick<Seen, 'lease' | 'now'>): boolean {
  return lease.ended === undefined && now < lease.signalPoint && now < lease.maxHoldAt;
}
