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
import { FREE, type Format, type Holding } from './holding.ts';
import type { Item, Items, Version } from './items.ts';
import { exptimeFor } from './lease-time.ts';

/** How often an item is read and then written: in between it may have changed again. */
const TRIES = 5;

const changing = (): Error => new Error('The item changes faster than it can be read and written.');

/** Each CAS id stands for a block of tokens; above this there is no number for them. */
const LARGEST_CAS = BigInt(Math.floor(Number.MAX_SAFE_INTEGER / MAX_TOKENS) - 1);

const firstToken = ({ cas }: Version): number => (cas > LARGEST_CAS ? 0 : Number(cas) * MAX_TOKENS);

/** How an item may be taken that is there already. */
interface Taking {
  readonly replaced?: boolean | undefined;
  /** Where the acquisition was granted before. */
  readonly token?: number | undefined;
}

/**
 * Takes, renews and ends locks: with one request where an item is as we know it. Where it is not,
 * because an answer was lost or somebody else was there, it is read, and what it says decides.
 */
export class Holder {
  private readonly grants = new Grants();
  /** Acquisitions that the server has been asked for, and has not answered. */
  private readonly asked = new Set<string>();

  constructor(
    private readonly items: Items,
    private readonly format: Format,
  ) {}

  async acquire(request: AcquireRequest): Promise<AcquireReply> {
    const { key, id, owner, ttl, replaces } = request;
    const until = performance.now() + ttl;
    // An earlier request for the same may yet reach the server, whatever this one is told.
    if (this.asked.has(id)) this.grants.doubt(id, owner, until);
    // Items without ids say nothing of an acquisition that is released before it was answered.
    else if (this.format.nameless) this.grants.doubt(id, owner, until, false);
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
      this.grants.doubt(id, owner, performance.now() + ttl);
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
      const holding = this.holdingOf(item);
      if (item === undefined || holding === undefined) return 'evicted';
      if (holding.kept === true || !this.belongs(holding, key, id, owner)) {
        return holding.owner === owner && holding.kept !== true ? 'superseded' : 'stolen';
      }
      if (ttl === 0) return 'renewed';
      const known = this.grants.of(key, id) ?? this.learn(key, id, holding, item);
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
      const holding = this.holdingOf(item);
      if (item === undefined || holding === undefined) {
        if (await this.ruleOut(key, id, item)) break;
      } else if (this.belongs(holding, key, id, owner)) {
        const token = this.tokenOf(key, holding, item);
        freed = await this.end(key, { ...holding, token }, item.version, keepFor);
      } else {
        break;
      }
    }
    this.grants.drop(key, id);
    return freed;
  }

  async inspect({ key }: InspectRequest): Promise<StoredGrant | null> {
    const item = await this.items.read(key);
    const holding = this.holdingOf(item);
    if (item === undefined || holding === undefined) return null;
    assertLock(holding);
    const { owner, label } = holding;
    return { owner, label, fencingToken: this.tokenOf(key, holding, item) };
  }

  async forceRelease(key: string): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.items.read(key);
      const holding = this.holdingOf(item);
      if (item === undefined || holding === undefined) return false;
      assertLock(holding);
      if (await this.items.remove(key, item.version)) return true;
    }
    throw changing();
  }

  /** For a key that is not as we thought: reads what is there, and puts the grant over it if it may. */
  private async take(request: AcquireRequest): Promise<AcquireReply> {
    const taken = notReplaced(request);
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.items.read(request.key);
      const taking = item === undefined ? {} : this.mayTake(request, this.holdingOf(item), item);
      if (taking === undefined) break;
      const reply = await this.put(request, item?.version, { ...taken, ...taking });
      if (reply !== undefined) return reply;
    }
    return { granted: false, ...taken };
  }

  /** @returns `undefined` if the item is somebody else's */
  private mayTake(
    { key, id, owner, replaces }: AcquireRequest,
    holding: Holding | undefined,
    item: Item,
  ): Taking | undefined {
    if (holding === undefined) return {};
    assertLock(holding);
    if (holding.kept === true) return undefined;
    if (this.belongs(holding, key, id, owner)) {
      const token =
        holding.id === undefined
          ? this.grants.of(key, id)?.token
          : (holding.token ?? firstToken(item.version));
      const again = replaces !== undefined && holding.over === replaces;
      return again ? { token, replaced: true } : { token };
    }
    if (replaces !== undefined) {
      const owned = this.grants.ownerOf(key, replaces);
      if (this.belongs(holding, key, replaces, owned)) return { replaced: true };
    }
    return holding.owner === owner ? {} : undefined;
  }

  /** Writes a grant, if the item is absent or still as it was with `over`. */
  private async put(
    request: AcquireRequest,
    over: Version | undefined,
    { replaced, token }: Taking,
  ): Promise<AcquireReply | undefined> {
    const { key, id, owner, label, tokens } = request;
    const now = performance.now();
    const until = Math.max(now + request.ttl, this.grants.of(key, id)?.until ?? 0);
    const replaces = replaced === true ? request.replaces : undefined;
    const value = this.format.encode({ id, owner, label, token, over: replaces });
    const lost = (): void => this.grants.doubt(id, owner, until);
    const version = await this.items.write(key, value, exptimeFor(until - now), over, lost);
    if (version === undefined) return undefined;
    const first = token ?? firstToken(version);
    this.grants.add(key, { id, owner, label, token: first, version, until });
    return { granted: true, token: first, tokens: Math.min(tokens, MAX_TOKENS), replaced };
  }

  /** A grant never ends earlier for being renewed. */
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

  /** A grant that we had forgotten. */
  private learn(key: string, id: string, holding: Holding, item: Item): Grant {
    const { owner, label } = holding;
    const token = this.tokenOf(key, holding, item);
    const grant = { id, owner, label, token, version: item.version, until: 0 };
    this.grants.add(key, grant);
    return grant;
  }

  private end(
    key: string,
    { id, owner, label, token }: Holding,
    over: Version,
    keepFor: number,
  ): Promise<boolean> {
    if (keepFor <= 0) return this.remove(key, id, over);
    const value = this.format.encode({ id, owner, label, token, kept: true });
    return this.items
      .write(key, value, exptimeFor(keepFor), over)
      .then((version) => version !== undefined);
  }

  /** A request that asked for the same before, and was not answered, must not find the key free. */
  private async remove(key: string, id: string | undefined, over: Version): Promise<boolean> {
    const until = id === undefined ? undefined : this.grants.doubtfulUntil(id);
    if (until === undefined || until <= performance.now()) return this.items.remove(key, over);
    return this.block(key, until, over);
  }

  /**
   * An acquisition that is to be ended is not there, but it may still be under way, on a connection
   * that broke. An item that nobody holds stops it: what is not absent cannot be added, and what has
   * changed cannot be replaced.
   */
  private async ruleOut(key: string, id: string, item: Item | undefined): Promise<boolean> {
    const until = this.grants.doubtfulUntil(id);
    return until === undefined || this.block(key, until, item?.version);
  }

  private async block(key: string, until: number, over: Version | undefined): Promise<boolean> {
    const exptime = exptimeFor(until - performance.now());
    return (await this.items.write(key, FREE, exptime, over)) !== undefined;
  }

  /** Whether an item is an acquisition's. If it names it, the request for it has arrived. */
  private belongs(
    { id: named, owner: owns }: Holding,
    key: string,
    id: string,
    owner: string | undefined,
  ): boolean {
    if (named === undefined) return owns === owner && !this.grants.isFollowed(key, id);
    if (named === id) this.grants.arrived(id);
    return named === id;
  }

  private holdingOf(item: Item | undefined): Holding | undefined {
    return item === undefined ? undefined : this.format.decode(item.value);
  }

  private tokenOf(key: string, holding: Holding, { version }: Item): number {
    if (holding.token !== undefined) return holding.token;
    const latest = this.grants.latest(key);
    return latest?.version.cas === version.cas ? latest.token : firstToken(version);
  }
}

/** What is said of a grant to be replaced that was not there any more. */
function notReplaced({ replaces }: AcquireRequest): Taking {
  return replaces === undefined ? NOTHING : { replaced: false };
}

const NOTHING: Taking = {};

function assertLock({ foreign }: Holding): void {
  if (foreign !== true) return;
  const message = 'The key holds data that is not a lock.';
  throw new LockStoreError(message, { phase: 'acquire', permanent: true });
}
