import {
  checkOptions,
  LockArgumentError,
  type AcquireReply,
  type AcquireRequest,
  type EncodeKeyRequest,
  type InspectRequest,
  type LockStore,
  type ReleaseRequest,
  type RenewReply,
  type RenewRequest,
  type StoreCapabilities,
  type StoredGrant,
  type StoreEvent,
} from '@holdfast/core';
import { Connections } from './connections.ts';
import { ItemLocks } from './item-locks.ts';
import { jsonFormat, memlockFormat, type Format } from './lock-item.ts';
import { BinaryItems } from './items.ts';
import { promisedFor } from './lease-time.ts';
import type { MemjsClient } from './memjs.ts';
import { together } from './together.ts';

/** Options of {@link memcachedStore}. */
export interface MemcachedStoreOptions {
  /**
   * `'memlock'`: locks are shared with Go services that use `memlock` of LUCI. Items are then called
   * `memlock:` + key and hold the owner id and nothing else. Keys over 242 bytes, or with spaces or
   * control characters, are `LockArgumentError`s; the locker's `namespace` does not apply; every
   * acquisition needs an explicit `owner`, of which only one live process may exist; labels are lost.
   *
   * @default none: items of our own, which carry labels and fencing tokens
   */
  compat?: 'memlock' | undefined;
}

/**
 * Best effort: a store over memcached, whose locks may vanish at any time (eviction, restart, flush).
 * Use it to avoid wasted work, not for correctness. A lock that has vanished is found and told at the
 * next check, at most 2 s later. Fencing tokens are best effort too: they grow while the server lives,
 * and begin anew with it.
 *
 * Acquiring, renewing and releasing take one request each. Waiting is polling. The shortest ttl is
 * 2 000 ms; leases are whole seconds, and a crashed holder keeps others out for up to a second more.
 *
 * From the client the store takes the servers, their credentials, and which server has a key. Requests
 * go over connections of the store's own, which are closed with its last locker; the client itself is
 * left as it is.
 *
 * @param client of memjs 1.3 or later
 * @throws LockArgumentError for something else, and for a client with `failover: true`, with which one
 * key could be held on two servers
 * @example
 * ```ts
 * const store = memcachedStore(memjs.Client.create('10.0.0.5:11211'));
 * const locker = createLocker({ store });
 * ```
 */
export function memcachedStore(
  client: MemjsClient,
  options: MemcachedStoreOptions = {},
): LockStore {
  checkClient(client);
  return new MemcachedStore(client, formatOf(options));
}

const CAPABILITIES: StoreCapabilities = {
  fencing: 'best-effort',
  wakeUp: 'poll',
  minTtl: 2_000,
  granularity: 1_000,
  sharedClock: false,
  exactLoss: false,
  checkEvery: 2_000,
};

/** How long servers are waited for when others have answered, in ms, and as a part of the shortest ttl. */
const PATIENCE = 250;
const PATIENCE_RATIO = 0.2;

class MemcachedStore implements LockStore {
  readonly name = 'memcached';
  readonly capabilities = CAPABILITIES;
  readonly leaseFor = promisedFor;
  readonly encodeKey?: (request: EncodeKeyRequest) => string;
  private readonly connections: Connections;
  private readonly locks: ItemLocks;
  private readonly listeners = new Map<string, (event: StoreEvent) => void>();

  constructor(client: MemjsClient, format: Format) {
    this.connections = new Connections(client, () => {
      for (const listener of this.listeners.values()) listener({ type: 'reconnected' });
    });
    this.locks = new ItemLocks(new BinaryItems(this.connections), format);
    if (format.encodeKey !== undefined) this.encodeKey = format.encodeKey;
  }

  acquire(request: AcquireRequest): Promise<AcquireReply> {
    return this.locks.acquire(request);
  }

  /** memcached has no request for several items with conditions: they are sent in one go. */
  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    return together(
      requests.map((request) => this.locks.renew(request)),
      patienceFor(requests),
    );
  }

  release(request: ReleaseRequest): Promise<boolean> {
    return this.locks.release(request);
  }

  inspect(request: InspectRequest): Promise<StoredGrant | null> {
    return this.locks.inspect(request);
  }

  forceRelease(key: string): Promise<boolean> {
    return this.locks.forceRelease(key);
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => void {
    this.listeners.set(client, listener);
    this.connections.open();
    return () => {
      this.listeners.delete(client);
      if (this.listeners.size === 0) this.connections.close();
    };
  }
}

function patienceFor(requests: readonly RenewRequest[]): number {
  let patience = PATIENCE;
  for (const { ttl } of requests) {
    if (ttl > 0) patience = Math.min(patience, ttl * PATIENCE_RATIO);
  }
  return patience;
}

/** @throws LockArgumentError */
function checkClient(client: MemjsClient): void {
  const { servers, server, options } = (client ?? {}) as Partial<MemjsClient>;
  if (!Array.isArray(servers) || servers.length === 0 || typeof server !== 'function') {
    throw new LockArgumentError('`memcachedStore` needs a memjs client.');
  }
  if (options?.failover) {
    throw new LockArgumentError(
      '`memcachedStore` needs a memjs client without `failover`: with it a key moves to another ' +
        'server while its holder is still at work, and is then held twice.',
    );
  }
}

/** @throws LockArgumentError */
function formatOf(options: MemcachedStoreOptions): Format {
  checkOptions<MemcachedStoreOptions>(options, { compat: true });
  const { compat } = options;
  if (compat === undefined) return jsonFormat;
  if (compat === 'memlock') return memlockFormat;
  throw new LockArgumentError("`compat` must be 'memlock', or absent.");
}
