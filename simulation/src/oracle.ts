import {
  memoryStore,
  type AcquireReply,
  type AcquireRequest,
  type EncodeKeyRequest,
  type InspectRequest,
  type LockStore,
  type MaybePromise,
  type ReleaseRequest,
  type RenewReply,
  type RenewRequest,
  type StoredGrant,
  type StoreEvent,
} from '@holdfast/core';
import { Lines } from './lines.ts';
import type { Tally } from './tally.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** A grant, as the server knows it. */
export interface KnownGrant {
  readonly id: string;
  readonly client: string;
  readonly token: number;
  readonly tokens: number;
  /** Taken over, forced, stolen or forgotten before its time: its holder is told afterwards. */
  endedEarly: boolean;
}

/** Who holds a key now. */
interface Holder {
  readonly owner: string;
  readonly token: number;
  /** By the world's clock; the store has whole ms. */
  readonly ends: number;
}

/** Those who hold a key until one of them does no more, or a request changes something. */
interface SeenHolders {
  readonly holders: readonly Holder[];
  readonly until: number;
}

const NOBODY: readonly Holder[] = [];

/** The one server of a simulation, and what it alone knows. */
export class Oracle implements LockStore {
  /** By the id of the acquisition; a delayed request may make a second grant of one. */
  readonly grants = new Map<string, KnownGrant[]>();
  /** By key, the oldest first. */
  private readonly granted = new Map<string, KnownGrant[]>();
  /** By key, if somebody holds it: after most steps they are the same as before. */
  private readonly seen = new Map<string, SeenHolders>();
  private readonly lines: Lines;
  private readonly inner: LockStore;
  private readonly known: LockStore['capabilities'];

  constructor(
    private readonly world: World,
    private readonly tally: Tally,
  ) {
    const now = (): number => world.now;
    this.lines = new Lines(world);
    const unused = (): never => {
      throw new Error('The memory store has no timers.');
    };
    this.inner = memoryStore({
      clock: { now, wallNow: now, setTimeout: unused, clearTimeout: unused },
    });
    this.known = { ...this.inner.capabilities, sharedClock: false };
  }

  get name(): string {
    return this.inner.name;
  }

  get capabilities(): LockStore['capabilities'] {
    // Its machine does not sleep when those of the processes do.
    return this.known;
  }

  /** The time by which holders end. */
  get now(): number {
    return this.world.now;
  }

  /** Nothing held, nobody waiting, nobody subscribed. */
  leftovers(): string[] {
    const { grants, queues } = this.inner as unknown as {
      grants: {
        entries: { entries(): Iterable<[string, Entry]> };
        listeners: Map<string, unknown>;
      };
      queues: { queues: Map<string, { registered: Map<string, number> }> };
    };
    const { entries, listeners } = grants;
    // Those that have run out go when somebody asks for the key.
    const registered = [...queues.queues.values()].flatMap((queue) =>
      [...queue.registered.values()].filter((until) => until > this.world.now),
    );
    const held = [...entries.entries()].filter(([, entry]) => this.isHeld(entry));
    return [
      ...(held.length > 0 ? [`${held.length} grants`] : []),
      ...(registered.length > 0 ? [`${registered.length} registrations`] : []),
      ...(listeners.size > 0 ? [`${listeners.size} listeners`] : []),
    ];
  }

  /** Lets grants that have run out go, as whoever asks for their keys would. */
  touch(keys: readonly string[]): void {
    for (const key of keys) void this.inner.inspect({ key, client: '' });
  }

  /** The current grants of a key, and when they end. */
  holders(key: string): readonly Holder[] {
    const { now } = this.world;
    const seen = this.seen.get(key);
    if (seen !== undefined && now < seen.until) return seen.holders;
    const info = this.inner.inspect({ key, client: '' }) as StoredGrant | null;
    if (info === null) return NOBODY;
    const holders = (info.holders ?? [info]).map(({ owner, fencingToken, remaining = 0 }) => {
      return { owner, token: fencingToken, ends: Math.round(now + remaining) };
    });
    const until = Math.min(...holders.map(({ ends }) => ends));
    this.seen.set(key, { holders, until });
    return holders;
  }

  /** The grant that a token belongs to. */
  grantOf(id: string, token: number): KnownGrant | undefined {
    return this.grants
      .get(id)
      ?.find((grant) => token >= grant.token && token < grant.token + grant.tokens);
  }

  /** The grant of a key that a token belongs to, whoever holds it by now. */
  grantAt(key: string, token: number): KnownGrant | undefined {
    const granted = this.granted.get(key) ?? [];
    return granted.findLast((grant) => token >= grant.token && token < grant.token + grant.tokens);
  }

  /**
   * Those who hold a key are about to lose it before their time, or those of one owner.
   *
   * @returns whether there are any
   */
  endEarly(key: string, owner?: string): boolean {
    const ending = this.holders(key).filter((one) => owner === undefined || one.owner === owner);
    for (const { token } of ending) {
      const grant = this.grantAt(key, token);
      if (grant !== undefined) grant.endedEarly = true;
    }
    return ending.length > 0;
  }

  encodeKey(request: EncodeKeyRequest): string {
    return this.inner.encodeKey?.(request) as string;
  }

  acquire(request: AcquireRequest): AcquireReply {
    const { key, id, client, wait, owner } = request;
    const before = this.holders(key);
    this.seen.delete(key);
    const reply = this.inner.acquire(request) as AcquireReply;
    // Beside what it holds, an owner may have a permit that is released and kept busy for a while.
    const own = before.filter((holder) => holder.owner === owner);
    if (!reply.granted) {
      // Whoever will wait gives its earlier permit up.
      if (request.givesUp === true)
        for (const { token } of own) this.takenOver(key, token, request);
      if (wait && reply.conflict === undefined) this.lines.register(key, client);
      else if (wait) this.lines.remove(key, client);
      this.lines.wakeUpsAreOver();
      return reply;
    }
    const known = listIn(this.grants, id);
    if (known.some((grant) => grant.token === reply.token)) return reply;
    const { token } = reply;
    const granted = listIn(this.granted, key);
    const last = granted.at(-1);
    if (last !== undefined && token < last.token + last.tokens) {
      const details = `${token} was granted after ${last.token} + ${last.tokens}`;
      this.world.fail(new Violation('tokens-grow', details));
    }
    const takenOver = own.filter(({ token: held }) => this.takenOver(key, held, request));
    if (takenOver.length === 0) this.lines.served(key, client);
    if (wait) this.lines.remove(key, client);
    this.lines.wakeUpsAreOver();
    const grant = { id, client, token, tokens: request.tokens, endedEarly: false };
    known.push(grant);
    granted.push(grant);
    this.tally.count('grants');
    if (request.sharing !== undefined) this.tally.count('permits');
    return reply;
  }

  renew(requests: readonly RenewRequest[]): readonly RenewReply[] {
    for (const { key } of requests) this.seen.delete(key);
    return this.inner.renew(requests) as readonly RenewReply[];
  }

  release(request: ReleaseRequest): boolean {
    this.seen.delete(request.key);
    const freed = this.inner.release(request) as boolean;
    if (request.asks === true) this.noteTurn(request);
    this.lines.wakeUpsAreOver();
    return freed;
  }

  refresh(client: string, keys: readonly string[]): readonly number[] {
    for (const key of keys) this.seen.delete(key);
    const hints = this.inner.refresh?.(client, keys) as readonly number[];
    for (const key of keys) this.lines.register(key, client);
    this.lines.wakeUpsAreOver();
    return hints;
  }

  leave(client: string, key: string): void {
    this.seen.delete(key);
    void this.inner.leave?.(client, key);
    this.lines.remove(key, client);
    this.lines.wakeUpsAreOver();
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => MaybePromise<void> {
    const end = this.inner.subscribe(client, (event) => {
      if (event.type === 'wake') this.lines.woken(event.key, client);
      listener(event);
    });
    return () => {
      this.lines.leaves(client);
      return end();
    };
  }

  inspect(request: InspectRequest): StoredGrant | null {
    return this.inner.inspect(request) as StoredGrant | null;
  }

  forceRelease(key: string, owner?: string): boolean {
    this.endEarly(key, owner);
    this.seen.delete(key);
    const forced = this.inner.forceRelease(key, owner) as boolean;
    this.lines.wakeUpsAreOver();
    return forced;
  }

  /** Whether a holder has lost its grant to this request, which has its owner. */
  private takenOver(key: string, token: number, { replaces, label }: AcquireRequest): boolean {
    const grant = this.grantAt(key, token);
    if (grant === undefined || grant.id === replaces) return false;
    if (this.holders(key).some((holder) => holder.token === token)) return false;
    grant.endedEarly = true;
    if (label !== 'thief') this.tally.count('take-overs');
    return true;
  }

  /** Who asks right after its release is not told that it is its turn. */
  private noteTurn({ key, id }: ReleaseRequest): void {
    const { entries } = (
      this.inner as unknown as {
        grants: { entries: { get(key: string): Entry | undefined } };
      }
    ).grants;
    const client = this.grants.get(id)?.at(-1)?.client;
    if (client !== undefined && entries.get(key)?.reserved?.has(client) === true) {
      this.lines.woken(key, client);
    }
  }

  private isHeld({ permits, reserved }: Entry): boolean {
    if (permits === undefined) return true;
    const all = [...permits.values(), ...(reserved?.values() ?? [])];
    return all.some(({ expiresAt }) => expiresAt > this.world.now);
  }
}

function listIn(lists: Map<string, KnownGrant[]>, name: string): KnownGrant[] {
  let list = lists.get(name);
  if (list === undefined) lists.set(name, (list = []));
  return list;
}

interface Entry {
  readonly permits?: Map<string, { readonly expiresAt: number }>;
  readonly reserved?: Map<string, { readonly expiresAt: number }>;
}
