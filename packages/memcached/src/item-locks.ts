import {
  LockStoreError,
  MAX_TOKENS,
  type AcquireReply,
  type AcquireRequest,
  type InspectRequest,
  type ReleaseRequest,
  type RenewReply,
  type RenewRequest,
  type StoredGrant,
} from '@holdfast/core';
import { Grants, type Grant } from './grants.ts';
import { FREE, type Format, type LockItem } from './lock-item.ts';
import type { Item, Items, Version } from './items.ts';
import { exptimeFor } from './lease-time.ts';

/** How many times to read an item and then write it: it may change in between. */
const TRIES = 5;

const changing = (): Error =>
  new Error(`The item of this lock changed ${TRIES} times between reading and writing it.`);

/** Each CAS id stands for a block of tokens; above this one the tokens would not be safe integers. */
const LARGEST_CAS = BigInt(Math.floor(Number.MAX_SAFE_INTEGER / MAX_TOKENS) - 1);

const firstToken = ({ cas }: Version): number => (cas > LARGEST_CAS ? 0 : Number(cas) * MAX_TOKENS);

/** How an item that exists may be overwritten by an acquisition. */
interface Overwrite {
  readonly replaced?: boolean | undefined;
  /** The token of this acquisition's earlier grant. */
  readonly token?: number | undefined;
}

/**
 * Takes, renews and ends locks, in one request while the item is as this process last saw it. If it is
 * not, because a reply was lost or somebody else wrote it, the item is read, and its content decides.
 */
export class ItemLocks {
  private readonly grants = new Grants();
  /** Acquisitions with a request that the server has not answered. */
  private readonly asked = new Set<string>();

  constructor(
    private readonly items: Items,
    private readonly format: Format,
  ) {}

  async acquire(request: AcquireRequest): Promise<AcquireReply> {
    const { key, id, owner, ttl, replaces } = request;
    const until = performance.now() + ttl;
    // An earlier request of this acquisition may still reach the server, whatever this one is told.
    if (this.asked.has(id)) this.grants.outcomeUnknown(id, owner, until);
    // Without an id in the item, nothing shows an acquisition that is released before its answer.
    else if (this.format.ownerOnly) this.grants.outcomeUnknown(id, owner, until, false);
    this.asked.add(id);
    const earlier = replaces === undefined ? undefined : this.grants.of(key, replaces);
    let reply: AcquireReply;
    try {
      const put =
        earlier === undefined
          ? await this.put(request, undefined, notReplaced(request))
          : await this.put(request, earlier.version, { replaced: true });
      reply = put ?? (await this.take(request));
    } catch (error) {
      this.grants.outcomeUnknown(id, owner, performance.now() + ttl);
      throw error;
    } finally {
      this.asked.delete(id);
    }
    this.grants.settle(id);
    // Whether or not it was still there.
    if (replaces !== undefined) this.grants.drop(key, replaces);
    return reply;
  }

  async renew({ key, id, owner, ttl }: RenewRequest): Promise<RenewReply> {
    const grant = this.grants.of(key, id);
    if (grant !== undefined && ttl > 0 && (await this.prolong(key, grant, ttl, grant.version))) {
      return 'renewed';
    }
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.items.read(key);
      const found = this.lockItemOf(item);
      if (item === undefined || found === undefined) return 'evicted';
      if (found.kept === true || !this.belongs(found, key, id, owner)) {
        return found.owner === owner && found.kept !== true ? 'superseded' : 'stolen';
      }
      if (ttl === 0) return 'renewed';
      const known = this.grants.of(key, id) ?? this.learn(key, id, found, item);
      if (await this.prolong(key, known, ttl, item.version)) return 'renewed';
    }
    throw changing();
  }

  async release({ key, id, keepFor = 0 }: ReleaseRequest): Promise<boolean> {
    const grant = this.grants.of(key, id);
    const owner = this.grants.ownerOf(key, id);
    let freed = grant !== undefined && (await this.end(key, grant, grant.version, keepFor));
    for (let tries = 0; !freed; tries++) {
      if (tries === TRIES) throw changing();
      const item = await this.items.read(key);
      const found = this.lockItemOf(item);
      if (item === undefined || found === undefined) {
        if (await this.ruleOut(key, id, item)) break;
      } else if (found.kept === true) {
        // Released before, and kept until it runs out: also for a release that comes again or late.
        freed = keepFor > 0 && this.belongs(found, key, id, owner);
        break;
      } else if (this.belongs(found, key, id, owner)) {
        const token = this.tokenOf(key, found, item);
        freed = await this.end(key, { ...found, token }, item.version, keepFor);
      } else {
        break;
      }
    }
    this.grants.drop(key, id);
    return freed;
  }

  async inspect({ key }: InspectRequest): Promise<StoredGrant | null> {
    const item = await this.items.read(key);
    const found = this.lockItemOf(item);
    if (item === undefined || found === undefined) return null;
    assertLock(found);
    const { owner, label } = found;
    return { owner, label, fencingToken: this.tokenOf(key, found, item) };
  }

  async forceRelease(key: string): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.items.read(key);
      const found = this.lockItemOf(item);
      if (item === undefined || found === undefined) return false;
      assertLock(found);
      if (await this.items.remove(key, item.version)) return true;
    }
    throw changing();
  }

  /** Reads the item, and overwrites it with the grant if that is allowed. */
  private async take(request: AcquireRequest): Promise<AcquireReply> {
    const taken = notReplaced(request);
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.items.read(request.key);
      const overwrite =
        item === undefined ? {} : this.overwriteFor(request, this.lockItemOf(item), item);
      if (overwrite === undefined) break;
      const reply = await this.put(request, item?.version, { ...taken, ...overwrite });
      if (reply !== undefined) return reply;
    }
    return { granted: false, ...taken };
  }

  /** @returns `undefined` if the item belongs to somebody else */
  private overwriteFor(
    { key, id, owner, replaces }: AcquireRequest,
    found: LockItem | undefined,
    item: Item,
  ): Overwrite | undefined {
    if (found === undefined) return {};
    assertLock(found);
    if (found.kept === true) return undefined;
    if (this.belongs(found, key, id, owner)) {
      const token =
        found.id === undefined
          ? this.grants.of(key, id)?.token
          : (found.token ?? firstToken(item.version));
      const again = replaces !== undefined && found.over === replaces;
      return again ? { token, replaced: true } : { token };
    }
    if (replaces !== undefined) {
      const owned = this.grants.ownerOf(key, replaces);
      if (this.belongs(found, key, replaces, owned)) return { replaced: true };
    }
    return found.owner === owner ? {} : undefined;
  }

  /** Writes a grant if the item is absent, or unchanged since `over`. */
  private async put(
    request: AcquireRequest,
    over: Version | undefined,
    { replaced, token }: Overwrite,
  ): Promise<AcquireReply | undefined> {
    const { key, id, owner, label, tokens } = request;
    const now = performance.now();
    const until = Math.max(now + request.ttl, this.grants.of(key, id)?.until ?? 0);
    const replaces = replaced === true ? request.replaces : undefined;
    const value = this.format.encode({ id, owner, label, token, over: replaces });
    const lost = (): void => this.grants.outcomeUnknown(id, owner, until);
    const version = await this.items.write(key, value, exptimeFor(until - now), over, lost);
    if (version === undefined) return undefined;
    const first = token ?? firstToken(version);
    this.grants.add(key, { id, owner, label, token: first, version, askedAt: now, until });
    return { granted: true, token: first, tokens: Math.min(tokens, MAX_TOKENS), replaced };
  }

  /** Renews a grant. Never shortens its lease. */
  private async prolong(key: string, grant: Grant, ttl: number, over: Version): Promise<boolean> {
    const now = performance.now();
    const until = Math.max(now + ttl, grant.until);
    const value = this.format.encode({
      id: grant.id,
      owner: grant.owner,
      label: grant.label,
      token: grant.token,
    });
    const version = await this.items.write(key, value, exptimeFor(until - now), over);
    if (version === undefined) return false;
    grant.version = version;
    grant.until = until;
    return true;
  }

  /** Remembers again a grant that this process had forgotten. */
  private learn(key: string, id: string, found: LockItem, item: Item): Grant {
    const { owner, label } = found;
    const token = this.tokenOf(key, found, item);
    const askedAt = performance.now();
    const grant = { id, owner, label, token, version: item.version, askedAt, until: 0 };
    this.grants.add(key, grant);
    return grant;
  }

  private end(
    key: string,
    { id, owner, label, token }: LockItem,
    over: Version,
    keepFor: number,
  ): Promise<boolean> {
    if (keepFor <= 0) return this.remove(key, id, over);
    const value = this.format.encode({ id, owner, label, token, kept: true });
    return this.items
      .write(key, value, exptimeFor(keepFor), over)
      .then((version) => version !== undefined);
  }

  /** Removes the item; if a lost request could still take the key, blocks it instead until it cannot. */
  private async remove(key: string, id: string | undefined, over: Version): Promise<boolean> {
    const until = id === undefined ? undefined : this.grants.unknownUntil(id);
    if (until === undefined || until <= performance.now()) return this.items.remove(key, over);
    return this.block(key, until, over);
  }

  /**
   * The acquisition to be ended is not on the server, but a request for it may still arrive from a
   * connection that broke. An item that nobody holds stops that request: ADD fails because an item
   * exists, and SET fails because its CAS id has changed.
   */
  private async ruleOut(key: string, id: string, item: Item | undefined): Promise<boolean> {
    const until = this.grants.unknownUntil(id);
    return until === undefined || this.block(key, until, item?.version);
  }

  private async block(key: string, until: number, over: Version | undefined): Promise<boolean> {
    const exptime = exptimeFor(until - performance.now());
    return (await this.items.write(key, FREE, exptime, over)) !== undefined;
  }

  /** Whether an item belongs to an acquisition. If the item has its id, its request has arrived. */
  private belongs(
    { id: named, owner: owns }: LockItem,
    key: string,
    id: string,
    owner: string | undefined,
  ): boolean {
    if (named === undefined) return owns === owner && !this.grants.isFollowed(key, id);
    if (named === id) this.grants.arrived(id);
    return named === id;
  }

  private lockItemOf(item: Item | undefined): LockItem | undefined {
    return item === undefined ? undefined : this.format.decode(item.value);
  }

  private tokenOf(key: string, found: LockItem, { version }: Item): number {
    if (found.token !== undefined) return found.token;
    const latest = this.grants.latest(key);
    return latest?.version.cas === version.cas ? latest.token : firstToken(version);
  }
}

/** What to answer when the grant to be replaced was already gone. */
function notReplaced({ replaces }: AcquireRequest): Overwrite {
  return replaces === undefined ? NOTHING : { replaced: false };
}

const NOTHING: Overwrite = {};

function assertLock({ foreign }: LockItem): void {
  if (foreign !== true) return;
  const message =
    'The memcached item of this lock holds data that this version of Holdfast cannot read: another ' +
    'program, or a version with another format, wrote it.';
  throw new LockStoreError(message, { phase: 'acquire', permanent: true });
}
