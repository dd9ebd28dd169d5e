import type { Lease } from '../../packages/core/src/hold/lease.ts';
import type { Oracle } from './oracle.ts';
import type { Process } from './process.ts';
import { violated } from './violation.ts';

/** Timers come with whole ms, so a signal may be so much late. */
const TICK = 1;

/** The private parts of an engine's time, to know it without moving it. */
interface TimeParts {
  readonly suspended: number;
  readonly wallOffset: number;
  readonly bootOffset: number;
  readonly noticeable: number;
}

interface Held {
  readonly lease: Lease;
  readonly process: Process;
  /** The process's own time, as `assertHeld()` would see it now. */
  readonly now: number;
  /** ms that its machine slept, too short to notice. */
  readonly unnoticed: number;
}

/** The default safety margin, computed here again: a wrong one must not excuse itself. */
export function marginOf(ttl: number): number {
  return Math.min(Math.max(ttl / 10, 50), 2_000, ttl / 4);
}

/** Checks after every step what must be true of all processes together. */
export class Invariants {
  /** When each lease was seen to end last. */
  private readonly ends = new WeakMap<Lease, number>();
  /** Leases that were held at the last look, and those that have ended. */
  private held: ReadonlySet<Lease> = new Set();
  private readonly over = new WeakSet<Lease>();
  /** The last token that was seen of each grant. */
  private readonly tokens = new Map<string, number>();

  constructor(
    private readonly oracle: Oracle,
    private readonly processes: readonly Process[],
  ) {}

  check(): void {
    const held = new Set<Lease>();
    const holders = new Map<string, Held[]>();
    for (const process of this.processes) {
      if (process.context.held.size === 0) continue;
      const time = timeOf(process);
      for (const lease of process.context.held.values()) {
        const one = { lease, process, ...time };
        held.add(lease);
        this.checkOne(one);
        if (passes(one)) addTo(holders, lease.stored, one);
      }
    }
    this.checkEnded(held);
    for (const [key, all] of holders) {
      if (all.length > 1) this.checkOverlap(key, all);
      for (const one of all) this.checkBelief(key, one);
    }
  }

  /** What has ended stays so. */
  private checkEnded(held: ReadonlySet<Lease>): void {
    for (const lease of this.held) {
      if (!held.has(lease)) this.over.add(lease);
    }
    for (const lease of held) {
      if (this.over.has(lease)) violated('never-revived', `${lease.key} is held again`);
    }
    this.held = held;
  }

  private checkOne({ lease, process, now }: Held): void {
    const signalPoint = lease.endsAt - marginOf(lease.settings.timing.ttl);
    if (!process.machine.paused && now > signalPoint + TICK && !process.machine.catchingUp) {
      violated('signal-fired', `held ${now - signalPoint} ms after its signal point`);
    }
    const end = this.ends.get(lease);
    if (end !== undefined && lease.endsAt < end - 1) {
      violated('never-shortened', `a lease that ended at ${end} now ends at ${lease.endsAt}`);
    }
    this.ends.set(lease, Math.max(end ?? 0, lease.endsAt));
    if (end === undefined) this.checkToken(lease);
  }

  /** A new holder has a token of its grant, larger than all that were seen of it before. */
  private checkToken(lease: Lease): void {
    const { id, token } = lease;
    const grant = this.oracle.grantOf(id, token);
    if (grant === undefined) violated('token-of-grant', `${token} was never granted to it`);
    const seen = `${id} ${grant.token}`;
    const last = this.tokens.get(seen) ?? 0;
    if (token <= last) violated('token-of-grant', `${token} after ${last}`);
    this.tokens.set(seen, token);
  }

  /**
   * A holder is beside those before it only if their locks can be shared so, or their leases ended early.
   */
  private checkOverlap(key: string, held: readonly Held[]): void {
    const byToken = held.toSorted((a, b) => a.lease.token - b.lease.token);
    const valid: Lease[] = [];
    for (const { lease } of byToken) {
      this.checkBeside(key, lease, valid);
      if (this.oracle.grantOf(lease.id, lease.token)?.endedEarly !== true) valid.push(lease);
    }
  }

  private checkBeside(key: string, lease: Lease, others: readonly Lease[]): void {
    const tokens = [...others, lease].map(({ token }) => token).join(', ');
    const { sharing } = lease.settings;
    let weight = sharing?.weight ?? 1;
    for (const other of others) {
      const its = other.settings.sharing;
      if (sharing === undefined && its === undefined) {
        violated('exclusion', `${key} is held with the tokens ${tokens}`);
      }
      if (sharing?.shared === true && its?.shared === true) continue;
      if (sharing?.shared === true || its?.shared === true) {
        violated('readers', `${key}: a writer is not alone, ${tokens}`);
      }
      if (sharing === undefined || its?.limit !== sharing.limit) {
        violated('weight', `${key} is held with different limits, ${tokens}`);
      }
      weight += its.weight;
      if (weight > sharing.limit) violated('weight', `${key}: ${weight} of ${sharing.limit}`);
    }
  }

  /** What a holder believes to have, the server grants: unless the lease was ended early. */
  private checkBelief(key: string, { lease, now, unnoticed }: Held): void {
    const grant = this.oracle.grantOf(lease.id, lease.token);
    if (grant === undefined || grant.endedEarly) return;
    const current = this.oracle.holders(key).find(({ token }) => token === grant.token);
    if (unnoticed > marginOf(lease.settings.timing.ttl) / 2) {
      violated('belief', `a sleep of ${unnoticed} ms is not noticed`);
    }
    // The margin covers the rest.
    const believed = lease.endsAt - now - unnoticed;
    if (current === undefined) {
      violated('belief', `${key} is believed to be held for ${believed} ms, and is not`);
    }
    if (current.remaining < believed - 0.001) {
      violated('belief', `${key}: ${believed} ms are believed, ${current.remaining} are left`);
    }
  }
}

function addTo(holders: Map<string, Held[]>, key: string, one: Held): void {
  const others = holders.get(key);
  if (others === undefined) holders.set(key, [one]);
  else others.push(one);
}

/** What the process's engine will take to be the time as soon as it looks. */
export function timeOf({ context, machine }: Process): { now: number; unnoticed: number } {
  const { suspended, wallOffset, bootOffset, noticeable } = context.time as unknown as TimeParts;
  const monotonic = machine.now();
  const jump = machine.wallNow() - monotonic - wallOffset;
  const jumped = Math.abs(jump) > noticeable;
  const slept = Math.max(0, machine.bootNow() - monotonic - bootOffset);
  const now = monotonic + suspended;
  return jumped ? { now: now + slept, unnoticed: 0 } : { now, unnoticed: slept };
}

export function passes({ lease, now }: Pick<Held, 'lease' | 'now'>): boolean {
  return lease.ended === undefined && now < lease.signalPoint && now < lease.maxHoldAt;
}
