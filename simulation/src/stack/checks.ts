import type { Lease } from '../../../packages/core/src/hold/lease.ts';
import { checkBeside } from '../beside.ts';
import { checkSleep, isHidden, passes, timeOf } from '../invariants.ts';
import type { Process } from '../process.ts';
import type { Task } from '../schedule.ts';
import { violated, type Invariant } from '../violation.ts';
import type { World } from '../world.ts';
import { isHalfLost, type Held } from './grants.ts';
import { copiedTo, type KnownGrant, type Register } from './register.ts';
import type { StackServer } from './stack-server.ts';
import type { Topology } from './topology.ts';

/** A lease whose holder passes `assertHeld()`. */
interface Holder {
  readonly lease: Lease;
  readonly process: Process;
  readonly grant: KnownGrant;
  /** ms until its end by the clocks of its process, less what it has slept without noticing. */
  readonly believed: number;
}

/** A key that is free although somebody waits for it may stay so for so long, in ms. */
const LONGEST_IDLE = 2_500;
/** After the last fault it takes so long until all is as it should be, in ms. */
const RECOVERY = 5_000;
/** For so long a primary that was replaced may go on as one, in ms. */
export const LONGEST_SPLIT = 3_000;

const locks = new Map<string, string>();

/** By the user's name for a key: the name of the lock on the servers. */
export function lockOf(key: string): string {
  let lock = locks.get(key);
  if (lock === undefined) locks.set(key, (lock = `{holdfast:${key}}`));
  return lock;
}

/** Checks after every step what must be true of all processes and servers together. */
export class Checks {
  /** Of leases that the servers have nothing of any more: until when their holders may believe in them. */
  private readonly goneUntil = new WeakMap<Lease, number>();
  private readonly known = new WeakMap<Lease, KnownGrant>();
  /** The last token that was seen of each grant. */
  private readonly tokens = new WeakMap<KnownGrant, number>();
  private readonly idleSince = new Map<string, number>();
  private lastFaultAt = -Infinity;
  /** The longest that a key was free while somebody waited, in ms. */
  longestIdle = 0;

  constructor(
    private readonly world: World,
    private readonly topology: Topology,
    private readonly register: Register,
    private readonly blind: ReadonlySet<Invariant>,
  ) {}

  /** Something has gone wrong, or has been put right. */
  disturbed(): void {
    this.lastFaultAt = this.world.now;
  }

  check(processes: readonly Process[]): void {
    const holders = this.holdersOf(processes);
    for (const [lock, all] of holders) {
      if (all.length > 1 && !this.blind.has('exclusion')) checkOverlap(lock, all);
      for (const holder of all) {
        const copies = this.copiesOf(lock, holder.lease.id);
        if (!this.blind.has('belief')) this.checkBelief(lock, holder, copies);
        this.checkTold(lock, holder, copies);
      }
    }
  }

  /** Nobody who wants a key waits for long while there is room. */
  checkIdle(processes: readonly Process[]): void {
    const { world } = this;
    const wanted = this.wanted(processes);
    for (const key of this.idleSince.keys()) if (!wanted.has(key)) this.idleSince.delete(key);
    for (const [key, { patient, all }] of wanted) {
      if (!patient || !this.hasRoom(key, all)) {
        this.idleSince.delete(key);
        continue;
      }
      const since = this.idleSince.get(key) ?? world.now;
      this.idleSince.set(key, since);
      const idle = world.now - Math.max(since, this.lastFaultAt + RECOVERY);
      this.longestIdle = Math.max(this.longestIdle, idle);
      if (idle > LONGEST_IDLE) violated('prompt', `${key} is free, and waited for, for ${idle} ms`);
    }
  }

  /** By key: those who wait for it, and whether one of them waits as long as it takes. */
  private wanted(processes: readonly Process[]): Map<string, Wanted> {
    const wanted = new Map<string, Wanted>();
    for (const { machine, pending, closing } of processes) {
      const isAway = machine.paused || closing;
      for (const task of pending.keys()) {
        const { keys, wait, abortAfter } = task;
        const isPatient =
          !isAway && keys.length === 1 && wait === Infinity && abortAfter === undefined;
        for (const key of keys) {
          const known = wanted.get(key);
          if (known === undefined) wanted.set(key, { patient: isPatient, all: [task] });
          else {
            known.patient ||= isPatient;
            known.all.push(task);
          }
        }
      }
    }
    return wanted;
  }

  /** Whether there is room for any of those who wait for a key, so also for the first in line. */
  private hasRoom(key: string, waiting: readonly Task[]): boolean {
    const lock = lockOf(key);
    const [server, other] = this.topology.authoritiesOf(lock);
    if (server !== undefined && isHalfLost(lock, (name) => server.data.get(name))) return false;
    if (!this.isBusy(lock)) return true;
    // A quorum has no permits.
    if (server === undefined || other !== undefined) return false;
    const held = this.register.heldOn(server, lock).filter(({ ends }) => ends > server.now());
    let [limit, used] = [0, 0];
    for (const { sharing } of held) {
      if (sharing === undefined) return false;
      limit = sharing.limit;
      used += sharing.weight;
    }
    return waiting.every(({ keys, sharing: { shared, limits, weight } }) => {
      const isSame = limits[keys.indexOf(key)] === limit;
      return isSame && (limit === 1 ? shared : used + weight <= limit);
    });
  }

  /** What is held survives the failover to this server. */
  checkDurable(server: StackServer, processes: readonly Process[]): void {
    for (const [lock, all] of this.holdersOf(processes)) {
      const copied = copiedTo(server, lock);
      for (const { lease, grant } of all) {
        if (grant.excuse !== undefined || copied.some(({ id }) => id === lease.id)) continue;
        violated('durable', `${lock}: the new primary does not have what is held`);
      }
    }
  }

  private holdersOf(processes: readonly Process[]): Map<string, Holder[]> {
    const holders = new Map<string, Holder[]>();
    for (const process of processes) {
      if (process.context.held.size === 0) continue;
      const { now, unnoticed } = timeOf(process);
      for (const lease of process.context.held.values()) {
        if (!passes({ lease, now })) continue;
        // While it sleeps, a clock that was set back by as much hides that for a moment. Nothing of it runs then.
        if (process.machine.paused && isHidden(lease, unnoticed)) continue;
        checkSleep(lease, unnoticed);
        const lock = lockOf(lease.key);
        const believed = lease.endsAt - now - unnoticed;
        const holder = { lease, process, grant: this.grantOf(lock, lease), believed };
        const others = holders.get(lock);
        if (others === undefined) holders.set(lock, [holder]);
        else others.push(holder);
      }
    }
    return holders;
  }

  /** A new holder has a token of its grant, larger than all that were seen of it before. */
  private grantOf(lock: string, lease: Lease): KnownGrant {
    const known = this.known.get(lease);
    if (known !== undefined) return known;
    const { id, token } = lease;
    const grant = this.register.grantOf(lock, id, token);
    if (grant === undefined)
      violated('token-of-grant', `${lock}: ${token} was never granted to it`);
    const last = this.tokens.get(grant) ?? 0;
    if (token > 0 && token <= last) violated('token-of-grant', `${lock}: ${token} after ${last}`);
    this.tokens.set(grant, token);
    this.register.holds(lock, grant, token);
    this.known.set(lease, grant);
    const keepFor = lease.keepUntil - lease.grantedAt;
    if (keepFor > 0) grant.keepUntil = this.world.now + keepFor;
    return grant;
  }

  /** What the servers that count have of a grant. */
  private copiesOf(lock: string, id: string): Copy[] {
    const copies: Copy[] = [];
    for (const server of this.topology.authoritiesOf(lock)) {
      for (const held of this.register.heldOn(server, lock)) {
        if (held.id === id && held.kind === 'held') copies.push({ server, held });
      }
    }
    return copies;
  }

  private get majority(): number {
    return this.topology.name === 'quorum' ? 2 : 1;
  }

  /** What a holder believes to have, the servers grant; unless nobody can help it. */
  private checkBelief(lock: string, { grant, believed }: Holder, copies: readonly Copy[]): void {
    if (grant.excuse !== undefined) return;
    const { majority } = this;
    if (copies.length < majority) violated('belief', `${lock} is believed to be held, and is not`);
    const left = copies
      .map(({ server, held }) => held.ends - server.now() + server.jumped)
      .toSorted((a, b) => b - a)[majority - 1] as number;
    if (left < believed - 2) {
      violated('belief', `${lock}: ${believed} ms are believed, ${left} are left`);
    }
  }

  /** Who has lost a lock that nobody could keep for it learns of it, at the latest when its lease ends. */
  private checkTold(
    lock: string,
    { lease, grant, believed }: Holder,
    copies: readonly Copy[],
  ): void {
    if (grant.excuse === undefined || copies.length >= this.majority) {
      this.goneUntil.delete(lease);
      return;
    }
    const { now } = this.world;
    const split = grant.excuse === 'split' || grant.excuse === 'failover' ? LONGEST_SPLIT : 0;
    // A request that was carried out before may be confirmed now.
    const until = this.goneUntil.get(lease) ?? now + split + Math.max(believed, lease.longest);
    this.goneUntil.set(lease, until);
    const late = now - until;
    if (late > 0)
      violated('told', `${lock} is gone (${grant.excuse}), and is held for ${late} ms more`);
  }

  /** Whether somebody holds a lock, as the servers that count have it. */
  isBusy(lock: string): boolean {
    return this.topology.authoritiesOf(lock).some((server) => {
      return this.register.heldOn(server, lock).some(({ ends }) => ends > server.now());
    });
  }
}

/** A key that somebody waits for. */
interface Wanted {
  patient: boolean;
  readonly all: Task[];
}

interface Copy {
  readonly server: StackServer;
  readonly held: Held;
}

/** Those who hold a lock may do so beside each other, but where one of them cannot help it. */
function checkOverlap(lock: string, holders: readonly Holder[]): void {
  const others: Lease[] = [];
  for (const { lease, grant } of holders) {
    if (grant.excuse !== undefined) continue;
    checkBeside(lock, lease, others);
    others.push(lease);
  }
}
