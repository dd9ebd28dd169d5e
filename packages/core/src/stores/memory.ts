import type { Clock } from '../util/time.ts';
import { checkOptions } from '../option-names.ts';
import { checkClock } from '../options.ts';
import {
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
  type StoreCapabilities,
  type StoredGrant,
} from '../store.ts';
import { KeptEntry, MemoryGrants, type Entry, type Listener } from './memory-grants.ts';
import { MemoryPermits } from './memory-permits.ts';
import { MemoryQueues } from './memory-queues.ts';
import { SharedKey } from './memory-shared-key.ts';
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
  checkOptions<MemoryStoreOptions>(options, { clock: true });
  return new MemoryStore(checkClock(options));
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

export class MemoryStore implements LockStore {
  readonly name = 'memory';
  readonly capabilities = CAPABILITIES;
  private readonly grants = new MemoryGrants();
  private readonly queues = new MemoryQueues((client, key) => {
    this.grants.tell(client, { type: 'wake', key });
  });
  private readonly permits = new MemoryPermits(this.grants, this.queues);
  private readonly walks = new MemoryWalks();
  /** So many grants from now. */
  private untilSweep = SWEEP_EVERY;

  constructor(readonly clock: Clock) {}

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

  /** @param now what the clock of the store shows, from a caller who has read it just now */
  acquire(request: AcquireRequest, now = this.clock.now()): AcquireReply {
    const { grants } = this;
    const { key, client, wait, replaces, sharing } = request;
    let replaced: boolean | undefined;
    if (replaces !== undefined) {
      replaced = grants.live(key, now)?.id === replaces;
      if (replaced) grants.entries.delete(key);
    }
    const reply =
      sharing === undefined
        ? this.decide(request, now)
        : this.permits.decide(request, sharing, now);
    if (reply.granted) {
      this.untilSweep -= 1;
      if (this.untilSweep <= 0) this.sweep(now);
    } else if (wait) {
      if (reply.conflict === undefined) {
        this.queues.register(key, client, now, request);
      } else {
        this.waitsNoMore(key, client);
        this.permits.serve(key, now);
      }
    }
    if (grants.outbox.length > 0) grants.flush();
    return replaced === undefined ? reply : { ...reply, replaced };
  }

  renew(requests: readonly RenewRequest[]): readonly RenewReply[] {
    const { grants } = this;
    const now = this.clock.now();
    return requests.map(({ key, id, ttl }) => {
      const entry = grants.live(key, now);
      if (entry instanceof SharedKey) return this.permits.renew(entry, id, ttl, now);
      if (entry === undefined || entry.id !== id || entry instanceof KeptEntry) {
        return grants.ended.get(id)?.reason ?? (entry === undefined ? 'evicted' : 'stolen');
      }
      if (ttl > 0) entry.expiresAt = Math.max(entry.expiresAt, Math.ceil(now) + ttl);
      return 'renewed';
    });
  }

  release({ key, id, keepFor = 0, asks = false }: ReleaseRequest): boolean {
    // What has run out, and was taken by nobody, is ended all the same: no need to look at the clock.
    const { grants, clock } = this;
    const entry = grants.entries.get(key);
    if (entry?.id !== id) {
      if (!(entry instanceof SharedKey)) return false;
      return this.permits.release(key, entry, id, clock.now(), keepFor, asks);
    }
    if (keepFor > 0) {
      grants.entries.set(key, new KeptEntry(entry, Math.ceil(clock.now() + keepFor)));
    } else {
      this.free(key);
    }
    return true;
  }

  refresh(client: string, keys: readonly string[]): readonly number[] {
    const now = this.clock.now();
    const hints = keys.map((key) => {
      const shared = this.permits.shared(key, now);
      if (shared?.reserved.has(client) === true) return 0;
      this.queues.register(key, client, now);
      if (shared !== undefined) {
        this.permits.serve(key, now);
        // It has its turn, or is to hear that others hold the key with another limit.
        if (shared.reserved.has(client) || !this.queues.has(key, client)) return 0;
        return shared.nextEnd - now + this.queues.delay(key, client, now);
      }
      const entry = this.grants.live(key, now);
      if (entry !== undefined) return entry.expiresAt - now + this.queues.delay(key, client, now);
      const turn = this.queues.turn(key, now);
      return turn === client ? 0 : this.queues.reservedUntil(key) - now;
    });
    this.grants.flush();
    return hints;
  }

  leave(client: string, key: string): void {
    const now = this.clock.now();
    this.waitsNoMore(key, client);
    this.permits.shared(key, now)?.unreserve(client);
    this.permits.serve(key, now);
    this.grants.flush();
  }

  subscribe(client: string, listener: Listener): () => void {
    const { listeners } = this.grants;
    listeners.set(client, listener);
    return () => {
      listeners.delete(client);
      this.queues.forget(client);
    };
  }

  inspect({ key, client }: InspectRequest): StoredGrant | null {
    const now = this.clock.now();
    const entry = this.grants.live(key, now);
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
    const { entries } = this.grants;
    const grants: ListedGrant[] = [];
    const next = this.walks.page(entries, cursor, now, (key) => {
      const entry = key.startsWith(prefix) ? entries.get(key) : undefined;
      const shown =
        entry !== undefined && now < entry.expiresAt && this.shown(key, entry, client, now);
      if (shown) grants.push({ key, ...shown });
      return grants.length < limit;
    });
    return { grants, cursor: next };
  }

  forceRelease(key: string, owner?: string): boolean {
    const now = this.clock.now();
    const entry = this.grants.live(key, now);
    if (entry === undefined) return false;
    if (entry instanceof SharedKey) return this.permits.forceRelease(key, owner, now);
    if (owner !== undefined && owner !== entry.owner) return false;
    this.grants.endEarly(key, entry, 'forced');
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

  /** Who wants a key alone. */
  private decide(request: AcquireRequest, now: number): AcquireReply {
    const { grants, queues } = this;
    const { key, id, owner, client, wait, ttl } = request;
    const entry = grants.live(key, now);
    if (entry === undefined) {
      if (queues.isEmpty) return grants.grant(request, now);
      const turn = queues.turn(key, now);
      if (turn !== undefined && (turn !== client || !wait)) {
        return { granted: false, retryAfter: queues.reservedUntil(key) - now };
      }
      return this.grantInTurn(request, now);
    }
    if (entry instanceof SharedKey) {
      return this.permits.decideBeside(request, entry, now) ?? this.decide(request, now);
    }
    if (!(entry instanceof KeptEntry)) {
      if (entry.id === id) {
        entry.expiresAt = Math.max(entry.expiresAt, Math.ceil(now) + ttl);
        return { granted: true, token: entry.token, tokens: 1 };
      }
      if (entry.owner === owner) {
        grants.endEarly(key, entry, 'superseded');
        return this.grantInTurn(request, now);
      }
    }
    const delay = queues.delay(key, client, now);
    return { granted: false, retryAfter: entry.expiresAt - now + delay };
  }

  /** It may be in the key's queue, and waits no more. */
  private grantInTurn(request: AcquireRequest, now: number): AcquireReply {
    if (request.wait) this.queues.remove(request.key, request.client);
    return this.grants.grant(request, now);
  }

  private waitsNoMore(key: string, client: string): void {
    this.queues.remove(key, client);
    this.queues.forget(client, key);
  }

  private free(key: string): void {
    this.grants.entries.vacate(key);
    if (!this.queues.isEmpty) this.queues.turn(key, this.clock.now());
    if (this.grants.outbox.length > 0) this.grants.flush();
  }

  /** Every so often, what has run out is dropped, so that it does not pile up. */
  private sweep(now: number): void {
    this.grants.sweep(now);
    this.queues.sweep(now);
    this.walks.sweep(now);
    this.untilSweep = Math.max(SWEEP_EVERY, this.grants.entries.size);
  }
}

/** What the stored keys of a namespace begin with, but for the plain ones of the default. */
function ofNamespace(namespace: string): string {
  return `\0${namespace.length}:${namespace}:`;
}
