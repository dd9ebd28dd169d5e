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
import type { Tally } from './tally.ts';
import { violated } from './violation.ts';
import type { World } from './world.ts';

/** A grant, as the server knows it. */
export interface KnownGrant {
  readonly id: string;
  readonly token: number;
  readonly tokens: number;
  /** Taken over, forced, stolen or forgotten before its time: its holder is told afterwards. */
  endedEarly: boolean;
}

/** The one server of a simulation, and what it alone knows. */
export class Oracle implements LockStore {
  /** By the id of the acquisition; a delayed request may make a second grant of one. */
  readonly grants = new Map<string, KnownGrant[]>();
  /** By key. */
  private readonly last = new Map<string, KnownGrant>();
  private readonly inner: LockStore;
  private readonly known: LockStore['capabilities'];

  constructor(
    private readonly world: World,
    private readonly tally: Tally,
  ) {
    const now = (): number => world.now;
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

  /** Nothing held, nobody waiting, nobody subscribed. */
  leftovers(): string[] {
    const { entries, queues, listeners } = this.inner as unknown as {
      entries: { size: number };
      queues: { queues: Map<string, { registered: Map<string, number> }> };
      listeners: Map<string, unknown>;
    };
    // Those that have run out go when somebody asks for the key.
    const registered = [...queues.queues.values()].flatMap((queue) =>
      [...queue.registered.values()].filter((until) => until > this.world.now),
    );
    return [
      ...(entries.size > 0 ? [`${entries.size} grants`] : []),
      ...(registered.length > 0 ? [`${registered.length} registrations`] : []),
      ...(listeners.size > 0 ? [`${listeners.size} listeners`] : []),
    ];
  }

  /** Lets grants that have run out go, as whoever asks for their keys would. */
  touch(keys: readonly string[]): void {
    for (const key of keys) void this.inner.inspect({ key, client: '' });
  }

  /** The current grant of a key, and when it ends. */
  current(key: string): { readonly token: number; readonly remaining: number } | undefined {
    const info = this.inner.inspect({ key, client: '' }) as StoredGrant | null;
    if (info === null) return undefined;
    return { token: info.fencingToken, remaining: info.remaining ?? 0 };
  }

  /** The grant that a token belongs to. */
  grantOf(id: string, token: number): KnownGrant | undefined {
    return this.grants
      .get(id)
      ?.find((grant) => token >= grant.token && token < grant.token + grant.tokens);
  }

  /** What holds the key now is about to be ended before its time. */
  endEarly(key: string): boolean {
    const current = this.current(key);
    const grant = this.last.get(key);
    if (current === undefined || grant?.token !== current.token) return false;
    grant.endedEarly = true;
    return true;
  }

  encodeKey(request: EncodeKeyRequest): string {
    return this.inner.encodeKey?.(request) as string;
  }

  acquire(request: AcquireRequest): AcquireReply {
    const { key, id, replaces } = request;
    const before = this.current(key);
    const held = this.last.get(key);
    const reply = this.inner.acquire(request) as AcquireReply;
    if (!reply.granted) return reply;
    const known = this.grants.get(id) ?? [];
    if (known.some((grant) => grant.token === reply.token)) return reply;
    const { token } = reply;
    if (held !== undefined && token < held.token + held.tokens) {
      violated('tokens-grow', `${token} was granted after ${held.token} + ${held.tokens}`);
    }
    const takenOver = before !== undefined && held?.token === before.token && held.id !== replaces;
    if (takenOver) {
      held.endedEarly = true;
      if (request.label !== 'thief') this.tally.count('take-overs');
    }
    const grant = { id, token, tokens: request.tokens, endedEarly: false };
    this.grants.set(id, [...known, grant]);
    this.last.set(key, grant);
    this.tally.count('grants');
    return reply;
  }

  renew(requests: readonly RenewRequest[]): readonly RenewReply[] {
    return this.inner.renew(requests) as readonly RenewReply[];
  }

  release(request: ReleaseRequest): boolean {
    return this.inner.release(request) as boolean;
  }

  refresh(client: string, keys: readonly string[]): readonly number[] {
    return this.inner.refresh?.(client, keys) as readonly number[];
  }

  leave(client: string, key: string): void {
    void this.inner.leave?.(client, key);
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => MaybePromise<void> {
    return this.inner.subscribe(client, listener);
  }

  inspect(request: InspectRequest): StoredGrant | null {
    return this.inner.inspect(request) as StoredGrant | null;
  }

  forceRelease(key: string): boolean {
    this.endEarly(key);
    return this.inner.forceRelease(key) as boolean;
  }
}
