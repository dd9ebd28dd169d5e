import { FORCED_RELEASES } from '../../../packages/redis/src/scripts/force-release.ts';
import { ALONE_ACQUISITIONS } from '../../../packages/redis/src/scripts/permits/acquire-alone.ts';
import { PERMIT_ACQUISITIONS } from '../../../packages/redis/src/scripts/permits/acquire.ts';
import { PERMIT_ENDINGS } from '../../../packages/redis/src/scripts/permits/end.ts';
import type { World } from '../world.ts';
import { violated } from '../violation.ts';
import { SortedSet } from './dataset.ts';
import { grantsOf, weightsOf, type Held } from './grants.ts';
import { Readings } from './readings.ts';
import type { StackServer } from './stack-server.ts';
import type { Topology } from './topology.ts';

/** A clock that jumps by no more than this, in ms, ends no lease before its signal point. */
export const MOST_AHEAD = 40;

/** A request of an operator takes so long at most until it is carried out, in ms. */
const LONGEST_FORCED = 10_000;

/** Clocks may differ by so much over the time that a lock is kept, in ms. */
const KEEPING_SLACK = 20;

/**
 * What a lock cannot help: a server has lost data, or its clock has jumped ahead, or stood still; a failover to a replica that
 * lags, or by which two servers take themselves for the primary; somebody with a right to it has ended it.
 */
export type Excuse =
  | 'lost-data'
  | 'clock'
  | 'frozen'
  | 'failover'
  | 'split'
  | 'deleted'
  | 'forced'
  | 'superseded';

/** A grant that was seen on a server. */
export interface KnownGrant {
  readonly lock: string;
  readonly id: string;
  readonly token: number;
  readonly tokens: number;
  readonly owner: string;
  /** In the order of all. */
  readonly place: number;
  readonly at: number;
  /** Why it may end before its time, with no fault of the locks. */
  excuse: Excuse | undefined;
  /** When it ends by the server's clock, in ms, as far as was seen. */
  ends: number;
  /** The server may have forgotten the last token, and may begin with smaller ones. */
  readonly mayBeSmaller: boolean;
  /** Until when nobody else may have the lock, by the world's clock; known once somebody holds it. */
  keepUntil: number;
}

/**
 * The locks as a lease register: what the servers have granted, in the order in which they did. It looks at
 * what the keys hold after each script.
 */
export class Register {
  /** By lock and id. */
  private readonly grants = new Map<string, KnownGrant[]>();
  /** By server and lock: what is granted there now. */
  private readonly current = new Map<string, Map<string, readonly KnownGrant[]>>();
  /** By lock: the largest token that was granted. */
  private readonly largest = new Map<string, number>();
  /** By lock: what somebody has held. */
  private readonly heldGrants = new Map<string, Map<KnownGrant, number>>();
  private count = 0;
  /** By lock: until when a holder that is gone may have been ended by somebody else. */
  private readonly forcedUntil = new Map<string, number>();
  /** Locks of which a server may have forgotten the last token. */
  private readonly forgotten = new Set<string>();
  private topology: Topology | undefined;
  private readings = new Readings(undefined);

  constructor(
    private readonly world: World,
    /** Told what has happened. */
    private readonly tell: (what: string) => void,
  ) {}

  watch(topology: Topology): void {
    this.topology = topology;
    this.readings = new Readings(topology.slots);
  }

  /** Who holds a lock, as a server has it. */
  heldOn(server: StackServer, lock: string): readonly Held[] {
    return this.readings.heldOn(server, lock);
  }

  /** The grant that a token belongs to; of a quorum there is none to tell them apart. */
  grantOf(lock: string, id: string, token: number): KnownGrant | undefined {
    return this.grants
      .get(`${lock} ${id}`)
      ?.findLast((grant) => token >= grant.token && token < grant.token + grant.tokens);
  }

  /**
   * Somebody holds a lock. Its token is larger than those of earlier grants that somebody held, unless they
   * were forgotten and the clock of the server is behind the last one.
   */
  holds(lock: string, grant: KnownGrant, token: number): void {
    if (token === 0) return;
    let others = this.heldGrants.get(lock);
    if (others === undefined) this.heldGrants.set(lock, (others = new Map()));
    for (const [other, last] of others) {
      if (other === grant) continue;
      const [older, newer] = other.place < grant.place ? [last, token] : [token, last];
      const excused = (other.place < grant.place ? grant : other).mayBeSmaller;
      if (newer <= older && !excused) violated('tokens-grow', `${lock}: ${newer} after ${older}`);
    }
    others.set(grant, Math.max(others.get(grant) ?? 0, token));
  }

  /** A script has run, or a request for an item. */
  ran(server: StackServer, keys: readonly string[], source = ''): void {
    // A replica has nothing of its own.
    if (!server.isPrimary) return;
    for (const key of keys) {
      if (!key.endsWith('}')) continue;
      const isForced = FORCED.has(source) || this.world.now < (this.forcedUntil.get(key) ?? 0);
      this.look(server, key, isForced ? 'forced' : undefined, ASKED_BY_OWNERS.has(source));
    }
  }

  /** Somebody is about to end what others hold, by requests like any other. */
  isForced(lock: string): void {
    this.forcedUntil.set(lock, this.world.now + LONGEST_FORCED);
  }

  /** Whether the holder of a token may not be the last one, with no fault of the locks. */
  isExcused(lock: string, token: number): boolean {
    for (const grants of this.grants.values()) {
      for (const grant of grants) {
        const isIt =
          grant.lock === lock && token >= grant.token && token < grant.token + grant.tokens;
        if (isIt && (grant.excuse !== undefined || grant.mayBeSmaller)) return true;
      }
    }
    return false;
  }

  /** All that this server has granted may end early, and its tokens may be forgotten. */
  excuseAll(server: StackServer, excuse: Excuse): void {
    for (const lock of this.locksOf(server).keys()) {
      this.forgotten.add(lock);
      this.excuse(server, lock, excuse);
    }
  }

  /** Somebody deletes the keys of a lock. */
  deleted(server: StackServer, lock: string): void {
    this.forgotten.add(lock);
    this.excuse(server, lock, 'deleted');
  }

  /** The keys of a lock move to another server. */
  moved(lock: string, from: StackServer, to: StackServer): void {
    this.locksOf(to).set(lock, this.currentOn(from, lock));
    this.locksOf(from).set(lock, NOTHING);
    this.changedClock(lock, from, to);
  }

  /**
   * A replica has taken the place of a primary. What it does not have, or has not for as long, may end
   * early.
   */
  failedOver(from: StackServer, to: StackServer): void {
    for (const [lock, grants] of this.locksOf(from)) {
      this.forgotten.add(lock);
      const now = copiedTo(to, lock);
      const before = copiedTo(from, lock);
      for (const grant of grants) {
        const kept = now.find(({ id, token }) => id === grant.id && token === grant.token);
        const was = before.find(({ id }) => id === grant.id);
        const isAsLong = kept !== undefined && was !== undefined && kept.ends >= was.ends;
        if (!isAsLong) grant.excuse ??= 'failover';
      }
      const known = now.map(({ id, token }) => this.grantOf(lock, id, token));
      this.locksOf(to).set(
        lock,
        known.filter((grant) => grant !== undefined),
      );
      this.changedClock(lock, from, to);
    }
  }

  /** A server with another clock has a lock from now on. */
  private changedClock(lock: string, from: StackServer, to: StackServer): void {
    this.forgotten.add(lock);
    const ahead = (to.micros() - from.micros()) / 1_000;
    // What was granted before the other clock jumped ahead is measured by what that said then.
    to.jumped += Math.max(ahead + from.jumped, 0);
    if (ahead > MOST_AHEAD) this.excuse(to, lock, 'clock');
  }

  private excuse(server: StackServer, lock: string, excuse: Excuse): void {
    for (const grant of this.currentOn(server, lock)) grant.excuse ??= excuse;
  }

  /**
   * @param excuse of those who hold it no more
   * @param byOwner whether an owner may have given its permit up
   */
  private look(
    server: StackServer,
    lock: string,
    excuse: Excuse | undefined,
    byOwner: boolean,
  ): void {
    const before = this.currentOn(server, lock);
    const held = this.heldOn(server, lock);
    if (held[0]?.sharing !== undefined) this.checkWeights(server, lock);
    if (before.length === 0 && held.length === 0) return;
    const isAuthority = this.topology?.authoritiesOf(lock).includes(server) === true;
    // What a primary that is none any more grants may be smaller than what the other has granted.
    if (!isAuthority) this.forgotten.add(lock);
    const now = held.map((one) => {
      const same = before.find(({ id, token }) => id === one.id && token === one.token);
      const grant = same ?? this.know(server, lock, one);
      // Whoever asks a primary that is none any more may have it renewed there, and nowhere else: for longer
      // than with any other excuse.
      if (!isAuthority) grant.excuse = 'split';
      if (server.isBehind) grant.excuse ??= 'frozen';
      grant.ends = Math.max(grant.ends, one.ends);
      return grant;
    });
    const newer = now.filter((grant) => !before.includes(grant));
    for (const gone of before) {
      if (now.includes(gone)) continue;
      if (newer.some(({ owner, id }) => owner === gone.owner && id !== gone.id)) {
        gone.excuse ??= 'superseded';
        this.tell('take-overs');
      } else if (byOwner && hasGivenUp(server, gone)) {
        gone.excuse ??= 'superseded';
        this.tell('give-ups');
      } else if (excuse !== undefined) {
        gone.excuse ??= excuse;
      }
      this.checkKept(server, lock, gone);
    }
    this.locksOf(server).set(lock, now);
  }

  private know(server: StackServer, lock: string, held: Held): KnownGrant {
    const { id, token, tokens, owner } = held;
    const name = `${lock} ${id}`;
    const known = this.grants.get(name) ?? [];
    // Servers of a quorum grant the same at different times, some after one of them has lost it.
    const same = known.find(
      (grant) => grant.token === token && (token === 0 || grant.excuse === undefined),
    );
    if (same !== undefined) return same;
    this.tell('grants');
    if (held.sharing !== undefined) this.tell('permits');
    const grant: KnownGrant = {
      lock,
      id,
      token,
      tokens,
      owner,
      place: this.count++,
      at: this.world.now,
      mayBeSmaller: this.forgotten.has(lock) && server.leastToken <= (this.largest.get(lock) ?? 0),
      excuse: undefined,
      ends: 0,
      keepUntil: 0,
    };
    this.largest.set(lock, Math.max(this.largest.get(lock) ?? 0, token + tokens - 1));
    this.grants.set(name, [...known, grant]);
    return grant;
  }

  /** A permit takes as much of the limit as it weighs, and gives it back. */
  private checkWeights(server: StackServer, lock: string): void {
    if (this.topology?.slots?.isMoving(lock) === true) return;
    const weights = weightsOf(lock, (key) => server.data.get(key));
    if (weights === undefined || weights.said === weights.known) return;
    violated('counted', `${lock} says ${weights.said}, and ${weights.known} are known`);
  }

  /** What is to be kept for a while is, unless its lease runs out. */
  private checkKept(server: StackServer, lock: string, before: KnownGrant): void {
    const { token, excuse, ends, keepUntil } = before;
    const left = Math.min(keepUntil - this.world.now, ends - server.now());
    // Of a quorum each server is asked for a majority of them only.
    if (token === 0 || excuse !== undefined || left <= KEEPING_SLACK + server.jumped) return;
    violated('kept', `${lock} is free ${left} ms before the time that it was to be kept`);
  }

  private currentOn(server: StackServer, lock: string): readonly KnownGrant[] {
    return this.locksOf(server).get(lock) ?? NOTHING;
  }

  private locksOf(server: StackServer): Map<string, readonly KnownGrant[]> {
    let locks = this.current.get(server.address);
    if (locks === undefined) this.current.set(server.address, (locks = new Map()));
    return locks;
  }
}

/** By these an operator ends what others hold. */
const FORCED: ReadonlySet<string> = new Set([
  FORCED_RELEASES.script.source,
  PERMIT_ENDINGS.script.source,
]);

/** By these an owner asks for what it may have a permit of. */
const ASKED_BY_OWNERS: ReadonlySet<string> = new Set([
  PERMIT_ACQUISITIONS.script.source,
  ALONE_ACQUISITIONS.script.source,
]);

/** Whether an owner that was given waits, and so has ended its earlier permit. */
function hasGivenUp(server: StackServer, { lock, id, owner }: KnownGrant): boolean {
  const queue = server.data.get(`${lock}:queue`);
  return owner !== id && queue instanceof SortedSet && queue.get(`superseded ${id}`) !== undefined;
}

const NOTHING: readonly KnownGrant[] = [];

/** What a server has, whether or not its time has come. */
export function copiedTo(server: StackServer, lock: string): readonly Held[] {
  return grantsOf(lock, (key) => server.data.copyOf(key).entry?.value);
}
