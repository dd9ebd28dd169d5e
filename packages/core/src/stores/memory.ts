import type { Clock } from '../clock.ts';
import { checkClock } from '../options.ts';
import { SlotMap } from '../util/slot-map.ts';
import {
  RESERVATION,
  type AcquireReply,
  type AcquireRequest,
  type DecodeKeyRequest,
  type EncodeKeyRequest,
  type InspectRequest,
  type ListedGrant,
  type ListPage,
  type ListRequest,
  type LockStore,
  type ReleaseRequest,
  type RenewReply,
  type RenewRequest,
  type Sharing,
  type StoreCapabilities,
  type StoredGrant,
  type StoreEvent,
  type StoreLoss,
} from '../store.ts';
import { SharedKey, type Permit } from './memory-permits.ts';
import { MemoryQueues } from './memory-queues.ts';
import { MemoryWalks } from './memory-walks.ts';

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /** The clock and timers. @default Node's, looked up at call time */
  clock?: Clock | undefined;
}

/**
 * The embedded store: locks within one process, with the same leases, queues and fencing tokens as on
 * a server. Lockers that share one contend as separate processes do. Fencing tokens grow strictly for
 * as long as the store lives. The shortest ttl is 10 ms.
 *
 * @example
 * ```ts
 * const store = memoryStore();
 * const orders = createLocker({ store, name: 'orders' });
 * const billing = createLocker({ store, name: 'billing' });
 * ```
 */
export function memoryStore(options: MemoryStoreOptions = {}): LockStore {
  return new MemoryStore(checkClock(options));
}

type Listener = (event: StoreEvent) => void;

/** Who asks: one record per locker. */
export interface Client {
  readonly id: string;
  readonly label: string;
}

/** A grant. There may be very many, so fields are few, and times are whole ms. */
export interface Entry {
  readonly id: string;
  readonly owner: string;
  readonly client: Client;
  readonly token: number;
  readonly grantedAt: number;
  expiresAt: number;
}

/** What is remembered of a grant that was ended early, for its holder's next renewal. */
interface Ended {
  readonly reason: StoreLoss;
  readonly until: number;
}

const CAPABILITIES: StoreCapabilities = {
  fencing: 'strict',
  wakeUp: 'notify',
  minTtl: 10,
  granularity: 1,
  sharedClock: true,
  exactLoss: true,
  permits: true,
};

const DEFAULT_NAMESPACE = 'holdfast';

/** Grants, at least, between two looks at everything: so that looking costs little per grant. */
const SWEEP_EVERY = 1_000;

class MemoryStore implements LockStore {
  readonly name = 'memory';
  readonly capabilities = CAPABILITIES;
  private readonly entries = new SlotMap<Entry>();
  private readonly walks = new MemoryWalks();
  private readonly listeners = new Map<string, Listener>();
  private readonly queues = new MemoryQueues((client, key) => {
    this.tell(client, { type: 'wake', key });
  });
  /** Released, but busy until they expire. */
  private readonly kept = new WeakSet<Entry>();
  /** By the id of the grant. */
  private readonly ended = new Map<string, Ended>();
  /** Of all keys together, so that no key needs a counter of its own. */
  private lastToken = 0;
  private lastClient: Client = { id: '', label: '' };
  private outbox: { readonly client: string; readonly event: StoreEvent }[] = [];
  /** So many grants from now. */
  private untilSweep = SWEEP_EVERY;

  constructor(private readonly clock: Clock) {}

  /** Nothing leaves the process, so keys may stay as they are, but for those of other namespaces. */
  encodeKey({ namespace, key }: EncodeKeyRequest): string {
    if (namespace === DEFAULT_NAMESPACE && key.charCodeAt(0) !== 0) return key;
    return ofNamespace(namespace) + key;
  }

  decodeKey({ namespace, stored }: DecodeKeyRequest): string | undefined {
    const start = ofNamespace(namespace);
    if (stored.startsWith(start)) return stored.slice(start.length);
    return namespace === DEFAULT_NAMESPACE && stored.charCodeAt(0) !== 0 ? stored : undefined;
  }

  acquire(request: AcquireRequest): AcquireReply {
    const { key, client, wait, replaces } = request;
    const now = this.clock.now();
    let replaced: boolean | undefined;
    if (replaces !== undefined) {
      replaced = this.live(key, now)?.id === replaces;
      if (replaced) this.entries.delete(key);
    }
    const entry = this.live(key, now);
    const { sharing } = request;
    const reply =
      sharing === undefined
        ? this.decide(request, entry, now)
        : this.decideShared(request, sharing, now);
    if (!reply.granted && wait) {
      if (reply.conflict === undefined) {
        this.queues.register(key, client, now, request);
      } else {
        this.waitsNoMore(key, client);
        this.serve(key, now);
      }
    }
    if (this.outbox.length > 0) this.flush();
    return replaced === undefined ? reply : { ...reply, replaced };
  }

  renew(requests: readonly RenewRequest[]): readonly RenewReply[] {
    const now = this.clock.now();
    return requests.map(({ key, id, ttl }) => {
      const entry = this.live(key, now);
      if (entry instanceof SharedKey) return this.renewPermit(entry, id, ttl, now);
      if (entry === undefined || entry.id !== id || this.kept.has(entry)) {
        return this.ended.get(id)?.reason ?? (entry === undefined ? 'evicted' : 'stolen');
      }
      if (ttl > 0) entry.expiresAt = Math.max(entry.expiresAt, Math.ceil(now) + ttl);
      return 'renewed';
    });
  }

  release({ key, id, keepFor = 0, asks = false }: ReleaseRequest): boolean {
    // What has run out, and was taken by nobody, is ended all the same: no need to look at the clock.
    const entry = this.entries.get(key);
    if (entry?.id !== id) {
      return entry instanceof SharedKey && this.releasePermit(key, entry, id, keepFor, asks);
    }
    if (keepFor > 0) {
      entry.expiresAt = Math.ceil(this.clock.now() + keepFor);
      this.kept.add(entry);
    } else {
      this.free(key);
    }
    return true;
  }

  refresh(client: string, keys: readonly string[]): readonly number[] {
    const now = this.clock.now();
    const hints = keys.map((key) => {
      const shared = this.shared(key, now);
      if (shared?.reserved.has(client) === true) return 0;
      this.queues.register(key, client, now);
      if (shared !== undefined) {
        this.serve(key, now);
        // It has its turn, or is to hear that others hold the key with another limit.
        if (shared.reserved.has(client) || !this.queues.has(key, client)) return 0;
        return shared.nextEnd - now + this.queues.delay(key, client, now);
      }
      const entry = this.live(key, now);
      if (entry !== undefined) return entry.expiresAt - now + this.queues.delay(key, client, now);
      const turn = this.queues.turn(key, now);
      return turn === client ? 0 : this.queues.reservedUntil(key) - now;
    });
    this.flush();
    return hints;
  }

  leave(client: string, key: string): void {
    const now = this.clock.now();
    this.waitsNoMore(key, client);
    this.shared(key, now)?.unreserve(client);
    this.serve(key, now);
    this.flush();
  }

  subscribe(client: string, listener: Listener): () => void {
    this.listeners.set(client, listener);
    return () => {
      this.listeners.delete(client);
      this.queues.forget(client);
    };
  }

  inspect({ key, client }: InspectRequest): StoredGrant | null {
    const now = this.clock.now();
    const entry = this.live(key, now);
    const shown = entry && this.shown(key, entry, client, now);
    if (shown === undefined) return null;
    const wallAhead = this.clock.wallNow() - now;
    const queue = this.queues.shown(key, client, now).map(({ label, since }) => {
      return { label, since: Math.round(since + wallAhead) };
    });
    return { ...shown, queue };
  }

  list({ prefix, limit, cursor, client }: ListRequest): ListPage {
    const now = this.clock.now();
    const grants: ListedGrant[] = [];
    const next = this.walks.page(this.entries, cursor, now, (key) => {
      const entry = key.startsWith(prefix) ? this.entries.get(key) : undefined;
      const shown =
        entry !== undefined && now < entry.expiresAt && this.shown(key, entry, client, now);
      if (shown) grants.push({ key, ...shown });
      return grants.length < limit;
    });
    return { grants, cursor: next };
  }

  forceRelease(key: string, owner?: string): boolean {
    const now = this.clock.now();
    const entry = this.live(key, now);
    if (entry === undefined) return false;
    if (entry instanceof SharedKey) return this.forceReleasePermits(key, owner, now);
    if (owner !== undefined && owner !== entry.owner) return false;
    this.endEarly(key, entry, 'forced');
    this.free(key);
    return true;
  }

  /** `undefined` for a key that is only reserved. */
  private shown(key: string, entry: Entry, client: string, now: number): StoredGrant | undefined {
    if (entry instanceof SharedKey) {
      const holders = entry.shown(now, this.clock.wallNow() - now);
      const [first] = holders;
      return first && { ...first, waiters: this.queues.count(key, client, now), holders };
    }
    return {
      owner: entry.owner,
      label: entry.client.label,
      fencingToken: entry.token,
      since: Math.round(entry.grantedAt + this.clock.wallNow() - now),
      remaining: entry.expiresAt - now,
      waiters: this.queues.count(key, client, now),
    };
  }

  private decide(request: AcquireRequest, entry: Entry | undefined, now: number): AcquireReply {
    const { key, id, owner, client, wait, ttl } = request;
    if (entry === undefined) {
      const turn = this.queues.isEmpty ? undefined : this.queues.turn(key, now);
      if (turn === undefined || (turn === client && wait)) return this.grant(request, now);
      return { granted: false, retryAfter: this.queues.reservedUntil(key) - now };
    }
    if (entry instanceof SharedKey) return this.decideBeside(request, entry, now);
    if (!this.kept.has(entry)) {
      if (entry.id === id) {
        entry.expiresAt = Math.max(entry.expiresAt, Math.ceil(now) + ttl);
        return { granted: true, token: entry.token, tokens: 1 };
      }
      if (entry.owner === owner) {
        this.endEarly(key, entry, 'superseded');
        return this.grant(request, now);
      }
    }
    const delay = this.queues.delay(key, client, now);
    return { granted: false, retryAfter: entry.expiresAt - now + delay };
  }

  private grant(request: AcquireRequest, now: number): AcquireReply {
    const { key, id, owner, ttl, tokens, client, wait } = request;
    if (wait && !this.queues.isEmpty) this.queues.remove(key, client);
    // How an earlier grant of the same acquisition has ended is of no interest any more.
    if (this.ended.size > 0) this.ended.delete(id);
    const token = this.lastToken + 1;
    this.lastToken += tokens;
    const grantedAt = Math.floor(now);
    const expiresAt = Math.ceil(now) + ttl;
    this.entries.set(key, {
      id,
      owner,
      client: this.clientOf(request),
      token,
      grantedAt,
      expiresAt,
    });
    this.sweep(now);
    return { granted: true, token, tokens };
  }

  /** Who wants a key alone that is shared by others. */
  private decideBeside(request: AcquireRequest, shared: SharedKey, now: number): AcquireReply {
    const { key, client, wait } = request;
    if (this.shared(key, now) !== shared) return this.decide(request, this.live(key, now), now);
    if (shared.limit !== 1) return { granted: false, conflict: shared.limit };
    // What it was woken for, it does not want any more.
    if (wait && shared.unreserve(client)) {
      this.serve(key, now);
      if (this.entries.get(key) !== shared) return this.decide(request, this.live(key, now), now);
    }
    return { granted: false, retryAfter: shared.expiresAt - now };
  }

  /** Who wants a permit. */
  private decideShared(request: AcquireRequest, sharing: Sharing, now: number): AcquireReply {
    const { key, owner, client, wait } = request;
    const shared = this.shared(key, now);
    if (shared !== undefined) return this.decideAmong(request, sharing, shared, now);
    const entry = this.live(key, now);
    if (entry === undefined) {
      const turn = this.queues.turn(key, now);
      if (turn !== undefined && !(turn === client && wait)) {
        return { granted: false, retryAfter: this.queues.reservedUntil(key) - now };
      }
    } else {
      if (sharing.limit !== 1) return { granted: false, conflict: 1 };
      if (entry.owner !== owner || this.kept.has(entry)) {
        const delay = this.queues.delay(key, client, now);
        return { granted: false, retryAfter: entry.expiresAt - now + delay };
      }
      this.endEarly(key, entry, 'superseded');
    }
    const first = new SharedKey(
      sharing.limit,
      this.clientOf(request),
      this.lastToken + 1,
      Math.floor(now),
    );
    this.entries.set(key, first);
    return this.grantPermit(request, sharing, first, now);
  }

  private decideAmong(
    request: AcquireRequest,
    sharing: Sharing,
    shared: SharedKey,
    now: number,
  ): AcquireReply {
    const { key, id, owner, client, wait, ttl } = request;
    // Its turn is over with this request, whatever comes of it.
    const woken = wait && shared.unreserve(client);
    if (sharing.limit !== shared.limit) return { granted: false, conflict: shared.limit };
    const same = shared.permits.get(id);
    // Released, and kept busy: the request is late.
    if (same?.kept === true) {
      if (woken) this.serve(key, now);
      return { granted: false, retryAfter: shared.nextEnd - now };
    }
    if (same !== undefined) {
      same.expiresAt = Math.max(same.expiresAt, Math.ceil(now) + ttl);
      shared.endsAt(same.expiresAt);
      // A request that came late: another acquisition of its client may be in line.
      if (wait) this.queues.forget(client, key, id);
      if (woken) this.serve(key, now);
      return { granted: true, token: same.token, tokens: 1 };
    }
    const own = shared.of(owner);
    if (own !== undefined && shared.fits(sharing, own.weight)) {
      this.endEarly(key, own, 'superseded');
      shared.remove(own);
      return this.grantPermit(request, sharing, shared, now);
    }
    const head = this.queues.head(key, now);
    const itsTurn = woken || head === undefined || (wait && head.client === client);
    if (itsTurn && shared.fits(sharing)) return this.grantPermit(request, sharing, shared, now);
    if (woken) this.serve(key, now);
    return { granted: false, retryAfter: shared.nextEnd - now + (itsTurn ? 0 : RESERVATION) };
  }

  private grantPermit(
    request: AcquireRequest,
    { weight }: Sharing,
    shared: SharedKey,
    now: number,
  ): AcquireReply {
    const { key, id, owner, ttl, client, wait } = request;
    if (wait) {
      this.queues.remove(key, client);
      this.queues.forget(client, key, id);
    }
    this.ended.delete(id);
    const token = this.lastToken + 1;
    this.lastToken = token;
    shared.add({
      id,
      owner,
      client: this.clientOf(request),
      token,
      grantedAt: Math.floor(now),
      expiresAt: Math.ceil(now) + ttl,
      weight,
      kept: false,
    });
    this.serve(key, now);
    this.sweep(now);
    const room = this.queues.head(key, now) === undefined ? shared.room : 0;
    return { granted: true, token, tokens: 1, room };
  }

  private renewPermit(shared: SharedKey, id: string, ttl: number, now: number): RenewReply {
    const permit = shared.permits.get(id);
    if (permit === undefined || permit.expiresAt <= now || permit.kept) {
      return this.ended.get(id)?.reason ?? 'evicted';
    }
    if (ttl > 0) {
      permit.expiresAt = Math.max(permit.expiresAt, Math.ceil(now) + ttl);
      shared.endsAt(permit.expiresAt);
    }
    return 'renewed';
  }

  private releasePermit(
    key: string,
    shared: SharedKey,
    id: string,
    keepFor: number,
    asks: boolean,
  ): boolean {
    const permit = shared.permits.get(id);
    if (permit === undefined) return false;
    const now = this.clock.now();
    if (keepFor > 0) {
      permit.kept = true;
      permit.expiresAt = Math.ceil(now + keepFor);
      shared.endsAt(permit.expiresAt);
      return true;
    }
    shared.remove(permit);
    this.serve(key, now, asks ? permit.client.id : undefined);
    this.flush();
    return true;
  }

  private forceReleasePermits(key: string, owner: string | undefined, now: number): boolean {
    const shared = this.shared(key, now);
    let found = false;
    for (const permit of shared?.permits.values() ?? []) {
      if (owner !== undefined && permit.owner !== owner) continue;
      found = true;
      this.endEarly(key, permit, 'forced');
      shared?.remove(permit);
    }
    this.serve(key, now);
    this.flush();
    return found;
  }

  /** A key that several hold, if it is one, without what has run out. */
  private shared(key: string, now: number): SharedKey | undefined {
    const entry = this.live(key, now);
    if (!(entry instanceof SharedKey)) return undefined;
    if (entry.endExpired(now)) this.serve(key, now);
    return this.entries.get(key) === entry ? entry : undefined;
  }

  /**
   * Serves those who wait for a key, as far as there is room.
   *
   * @param asking the client that asks by itself, and need not be woken
   */
  private serve(key: string, now: number, asking?: string): void {
    const entry = this.live(key, now);
    if (!(entry instanceof SharedKey)) {
      if (entry === undefined) this.queues.turn(key, now);
      return;
    }
    for (;;) {
      if (entry.isEmpty) {
        this.entries.delete(key);
        this.queues.turn(key, now);
        return;
      }
      const head = this.queues.head(key, now);
      if (head === undefined) return;
      const { client, sharing } = head;
      const conflicts = (sharing?.limit ?? 1) !== entry.limit;
      if (!conflicts && !entry.fits(sharing)) return;
      this.queues.remove(key, client);
      // One with another limit is to ask, and hear of it.
      if (!conflicts) entry.reserve(client, sharing?.weight ?? 1, Math.ceil(now) + RESERVATION);
      if (client !== asking) this.tell(client, { type: 'wake', key });
    }
  }

  private waitsNoMore(key: string, client: string): void {
    this.queues.remove(key, client);
    this.queues.forget(client, key);
  }

  /** Lockers come again and again, so their records are shared. */
  private clientOf({ client: id, label }: AcquireRequest): Client {
    if (this.lastClient.id !== id || this.lastClient.label !== label) {
      this.lastClient = { id, label };
    }
    return this.lastClient;
  }

  /** The grant of a key, if it has not run out. */
  private live(key: string, now: number): Entry | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined || now < entry.expiresAt) return entry;
    this.entries.delete(key);
    return undefined;
  }

  private free(key: string): void {
    this.entries.vacate(key);
    if (!this.queues.isEmpty) this.queues.turn(key, this.clock.now());
    if (this.outbox.length > 0) this.flush();
  }

  private endEarly(key: string, entry: Entry | Permit, reason: StoreLoss): void {
    this.ended.set(entry.id, { reason, until: entry.expiresAt });
    this.tell(entry.client.id, { type: 'lost', key, id: entry.id, reason });
  }

  private tell(client: string, event: StoreEvent): void {
    this.outbox.push({ client, event });
  }

  /** Listeners call back into the store, so they are told when it is done with its own state. */
  private flush(): void {
    for (let message = this.outbox.shift(); message !== undefined; message = this.outbox.shift()) {
      this.listeners.get(message.client)?.(message.event);
    }
  }

  /** Every so often, what has run out is dropped, so that it does not pile up. */
  private sweep(now: number): void {
    this.untilSweep -= 1;
    if (this.untilSweep > 0) return;
    for (const [key, { expiresAt }] of this.entries.entries()) {
      if (expiresAt <= now) this.entries.delete(key);
    }
    for (const [id, { until }] of this.ended) if (until <= now) this.ended.delete(id);
    this.queues.sweep(now);
    this.walks.sweep(now);
    this.untilSweep = Math.max(SWEEP_EVERY, this.entries.size);
  }
}

/** What the stored keys of a namespace begin with, but for the plain ones of the default. */
function ofNamespace(namespace: string): string {
  return `\0${namespace.length}:${namespace}:`;
}
