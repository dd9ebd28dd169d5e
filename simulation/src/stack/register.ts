import { FORCED_RELEASES } from '../../../packages/redis/src/scripts/force-release.ts';
import type { World } from '../world.ts';
import { violated } from '../violation.ts';
import type { Change } from './dataset.ts';
import type { RedisServer } from './server.ts';
import type { Topology } from './topology.ts';

/** A clock that jumps by no more than this, in ms, ends no lease before its signal point. */
export const MOST_AHEAD = 40;

/** Clocks may differ by so much over the time that a lock is kept, in ms. */
const KEEPING_SLACK = 20;

/** What the key of a lock says, read here once more: the scripts must not vouch for themselves. */
export interface Held {
  readonly kind: 'held' | 'kept';
  readonly ends: number;
  readonly token: number;
  readonly tokens: number;
  readonly id: string;
  readonly owner: string;
}

const HELD = /^holdfast:1 (held|kept) (\d+) \d+ (\d+) (\d+) \S+ (\S+) \S+ \S+ (\S+)$/;

/** What was read before: most often a key says what it said at the last look. */
const read = new Map<string, Held | undefined>();
const MOST_READ = 10_000;

export function readHeld(value: unknown): Held | undefined {
  if (typeof value !== 'string') return undefined;
  if (read.has(value)) return read.get(value);
  if (read.size === MOST_READ) read.clear();
  const held = parse(value);
  read.set(value, held);
  return held;
}

function parse(value: string): Held | undefined {
  const match = HELD.exec(value);
  if (match === null) return undefined;
  const [, kind, ends, token, tokens, id = '', owner = ''] = match;
  return {
    kind: kind as Held['kind'],
    ends: Number(ends),
    token: Number(token),
    tokens: Number(tokens),
    id,
    owner: owner === '=' ? id : owner,
  };
}

/**
 * What a lock cannot help: a server has lost data, or its clock has jumped ahead; a failover to a replica that
 * lags, or by which two servers take themselves for the primary; somebody with a right to it has ended it.
 */
export type Excuse =
  | 'lost-data'
  | 'clock'
  | 'failover'
  | 'split'
  | 'deleted'
  | 'forced'
  | 'superseded';

/** A grant that was seen on a server. */
export interface KnownGrant {
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
  /** The server may have forgotten the last token, and its clock was behind. */
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
  private readonly current = new Map<string, Map<string, KnownGrant | undefined>>();
  /** By lock: the largest token that was granted. */
  private readonly largest = new Map<string, number>();
  /** By lock: what somebody has held. */
  private readonly heldGrants = new Map<string, Map<KnownGrant, number>>();
  private count = 0;
  /** Locks of which a server may have forgotten the last token. */
  private readonly forgotten = new Set<string>();
  private topology: Topology | undefined;

  constructor(
    private readonly world: World,
    private readonly tell: (what: string) => void,
  ) {}

  watch(topology: Topology): void {
    this.topology = topology;
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

  /** A script has run. */
  ran(server: RedisServer, keys: readonly string[], source: string): void {
    // A replica has nothing of its own.
    if (!server.isPrimary) return;
    for (const key of keys) {
      if (!key.endsWith('}')) continue;
      if (source === FORCED_RELEASES.script.source) this.excuse(server, key, 'forced');
      this.look(server, key);
    }
  }

  /** All that this server has granted may end early, and its tokens may be forgotten. */
  excuseAll(server: RedisServer, excuse: Excuse): void {
    for (const lock of this.locksOf(server).keys()) {
      this.forgotten.add(lock);
      this.excuse(server, lock, excuse);
    }
  }

  /** Somebody deletes the keys of a lock. */
  deleted(server: RedisServer, lock: string): void {
    this.forgotten.add(lock);
    this.excuse(server, lock, 'deleted');
  }

  /** The keys of a lock move to another server. */
  moved(lock: string, from: RedisServer, to: RedisServer): void {
    this.locksOf(to).set(lock, this.locksOf(from).get(lock));
    this.locksOf(from).set(lock, undefined);
    this.changedClock(lock, from, to);
  }

  /**
   * A replica has taken the place of a primary. What it does not have, or has not for as long, may end
   * early.
   */
  failedOver(from: RedisServer, to: RedisServer): void {
    for (const [lock, grant] of this.locksOf(from)) {
      this.forgotten.add(lock);
      const now = readHeld(valueOf(to.data.copyOf(lock)));
      const before = readHeld(valueOf(from.data.copyOf(lock)));
      const isSame = now !== undefined && now.id === grant?.id && now.token === grant.token;
      const isAsLong = before !== undefined && now !== undefined && now.ends >= before.ends;
      if (grant !== undefined && !(isSame && isAsLong)) grant.excuse ??= 'failover';
      this.locksOf(to).set(lock, now && this.grantOf(lock, now.id, now.token));
      this.changedClock(lock, from, to);
    }
  }

  /** A server with another clock has a lock from now on. */
  private changedClock(lock: string, from: RedisServer, to: RedisServer): void {
    this.forgotten.add(lock);
    const ahead = (to.micros() - from.micros()) / 1_000;
    to.jumped += Math.max(ahead, 0);
    if (ahead > MOST_AHEAD) this.excuse(to, lock, 'clock');
  }

  private excuse(server: RedisServer, lock: string, excuse: Excuse): void {
    const grant = this.locksOf(server).get(lock);
    if (grant !== undefined) grant.excuse ??= excuse;
  }

  private look(server: RedisServer, lock: string): void {
    const locks = this.locksOf(server);
    const held = readHeld(server.data.get(lock));
    const before = locks.get(lock);
    if (held === undefined) {
      if (before !== undefined) this.checkKept(server, lock, before);
      locks.set(lock, undefined);
      return;
    }
    const isAuthority = this.topology?.authoritiesOf(lock).includes(server) === true;
    const isSame = before?.id === held.id && before.token === held.token;
    const grant = isSame ? before : this.know(server, lock, held);
    // Whoever asks a primary that is none any more may have it renewed there, and nowhere else.
    if (!isAuthority) {
      grant.excuse ??= 'split';
      this.forgotten.add(lock);
    }
    grant.ends = Math.max(grant.ends, held.ends);
    if (isSame) return;
    if (before !== undefined && before.owner === held.owner && before.id !== held.id) {
      before.excuse ??= 'superseded';
      this.tell('take-overs');
    }
    if (before !== undefined) this.checkKept(server, lock, before);
    locks.set(lock, grant);
  }

  private know(server: RedisServer, lock: string, { id, token, tokens, owner }: Held): KnownGrant {
    const name = `${lock} ${id}`;
    const known = this.grants.get(name) ?? [];
    // Servers of a quorum grant the same at different times, some after one of them has lost it.
    const same = known.find(
      (grant) => grant.token === token && (token === 0 || grant.excuse === undefined),
    );
    if (same !== undefined) return same;
    this.tell('grants');
    const grant: KnownGrant = {
      id,
      token,
      tokens,
      owner,
      place: this.count++,
      at: this.world.now,
      mayBeSmaller: this.forgotten.has(lock) && server.micros() <= (this.largest.get(lock) ?? 0),
      excuse: undefined,
      ends: 0,
      keepUntil: 0,
    };
    this.largest.set(lock, Math.max(this.largest.get(lock) ?? 0, token + tokens - 1));
    this.grants.set(name, [...known, grant]);
    return grant;
  }

  /** What is to be kept for a while is, unless its lease runs out. */
  private checkKept(server: RedisServer, lock: string, before: KnownGrant): void {
    const { token, excuse, ends, keepUntil } = before;
    const left = Math.min(keepUntil - this.world.now, ends - server.now());
    // Of a quorum each server is asked for a majority of them only.
    if (token === 0 || excuse !== undefined || left <= KEEPING_SLACK + server.jumped) return;
    violated('kept', `${lock} is free ${left} ms before the time that it was to be kept`);
  }

  private locksOf(server: RedisServer): Map<string, KnownGrant | undefined> {
    let locks = this.current.get(server.address);
    if (locks === undefined) this.current.set(server.address, (locks = new Map()));
    return locks;
  }
}

function valueOf({ entry }: Change): unknown {
  return entry?.value;
}
