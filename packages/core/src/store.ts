/**
 * The contract between the locker and a server. A store is an object of a few verbs, each atomic on
 * the server; it knows nothing about waiting, retrying, signals or handles. These comments are the
 * contract; `storeConformance()` of `@holdfast/testing` checks a store against it.
 *
 * **Keys** arrive encoded: printable ASCII without spaces or braces, at most 200 characters.
 *
 * **Acquisitions** have an `id` that is used once. Every verb is idempotent by it: a request that is
 * repeated, by the locker or by the driver after a reconnection, has no further effect and gets the
 * same answer.
 *
 * **Errors.** A verb rejects (or throws) when the server failed or did not answer; a busy lock is an
 * answer. A rejected request may or may not have taken effect. Errors that trying again cannot heal
 * are `LockStoreError`s with `permanent: true`; any other error is taken for a passing one.
 *
 * **Time** on the server is the server's own; clocks of clients are never compared. Durations are ms.
 *
 * **Answers** may be plain values where no I/O is needed: the locker then goes on synchronously.
 */
export interface LockStore {
  /** For people, in events: `memory`, `redis`, … */
  readonly name: string;
  readonly capabilities: StoreCapabilities;

  /**
   * The stored key for a user's key, where the locker's own encoding is not wanted. Throws a
   * `LockArgumentError` for a key that the store cannot take.
   */
  encodeKey?(request: EncodeKeyRequest): string;

  /**
   * The other way round, for {@link list}: the user's key of a stored one, `undefined` for a key of
   * another namespace. Needed where there are both `encodeKey` and `list`; `encodeKey` must then keep
   * prefixes (the stored key of `ab` begins with the stored key of `a`).
   */
  decodeKey?(request: DecodeKeyRequest): string | undefined;

  /**
   * How long the server promises to keep a grant of `ttl` ms, counted from when it executes the
   * request. Default: `ttl`.
   */
  leaseFor?(ttl: number): number;

  /**
   * Tries once to acquire. In this order:
   *
   * 1. With `replaces`, the grant of that id on this key is ended, as by {@link release}, and
   *    `replaced` tells whether it was there. Someone who waits for the key is served before us.
   * 2. Already granted to this `id`: granted again, with the same token and number of tokens, its
   *    lease renewed from now.
   * 3. Held, and not in its {@link ReleaseRequest.keepFor} time, by the same `owner`: taken over,
   *    past any queue. The id that held it is told by `lost` (`superseded`). Beside others see
   *    {@link Sharing}.
   * 4. Free, with nobody waiting before this `client`, or reserved for it: granted. Without `wait` a
   *    key that others wait for, or that is reserved, is busy.
   * 5. Busy. With `wait` the client is registered in the key's queue (its place is kept when it was
   *    there) for {@link REGISTRATION} ms, and every registration before it that has run out is
   *    dropped.
   *
   * A grant carries `tokens` fencing tokens, `token` the first of them, all larger than any granted
   * for the key before.
   *
   * With {@link AcquireRequest.sharing} it is for a permit, see {@link Sharing}; such requests come only
   * where `capabilities.permits` says so.
   */
  acquire(request: AcquireRequest): MaybePromise<AcquireReply>;

  /**
   * Renews many grants in as few requests as possible; one answer per request, in order. A grant
   * ends `ttl` ms from now or when it would have ended, whichever is later; with `ttl` 0 it is only
   * checked. A grant that is gone is never granted again.
   */
  renew(requests: readonly RenewRequest[]): MaybePromise<readonly RenewReply[]>;

  /**
   * Ends the grant of `id` if the key still belongs to it, and then serves the next client that
   * waits: the key is reserved for it for {@link RESERVATION} ms and it is sent `wake`. A
   * reservation that is not used in time, and one for a client that leaves, passes to the next.
   *
   * @returns whether the grant was there and has been ended by this request.
   */
  release(request: ReleaseRequest): MaybePromise<boolean>;

  /**
   * Keeps a client's registrations alive (renewed for {@link REGISTRATION} ms, made anew at the end
   * of the queue where they have run out), all in one request. Per key: in how many ms the client
   * should ask again, 0 for now, `Infinity` to wait for `wake`. It is also what moves a queue on when
   * a holder crashed or a reservation ran out. Only called where `wakeUp` is `notify`.
   */
  refresh?(client: string, keys: readonly string[]): MaybePromise<readonly (number | Error)[]>;

  /** The client waits for this key no longer. Only called where `wakeUp` is `notify`. */
  leave?(client: string, key: string): MaybePromise<void>;

  /**
   * Delivers what concerns this client, from its first use of the store until the returned function
   * is called. When the last subscriber has gone, the store closes the connections that it opened
   * itself; a later subscriber may open them again. Never rejects, and does no I/O before it is needed.
   */
  subscribe(client: string, listener: (event: StoreEvent) => void): () => MaybePromise<void>;

  /** The grant of a key, `null` if it is free. Changes nothing. */
  inspect(request: InspectRequest): MaybePromise<StoredGrant | null>;

  /**
   * One page of what is held, in no particular order: grants whose stored key begins with
   * `request.prefix`, whoever holds them. Changes nothing. Left out where a store cannot enumerate.
   *
   * - A bounded amount of work per call, on the server too, however much the server holds: never a
   *   command that looks at everything.
   * - At most `limit` grants. A page may be shorter, even empty, while its `cursor` says that there is
   *   more; without a `cursor` the walk is over. A walk over a store that does not change ends.
   * - What is held throughout a walk is in at least one of its pages, also when other keys come and
   *   go meanwhile; it may be in two. What is free (released, run out, or reserved but not granted)
   *   is in none.
   * - `cursor` is a non-empty string that means something to this store only, at most 1 kB long. It
   *   may come from another process, may be used twice, and may be anything that somebody typed: one
   *   that this store cannot have given is a `LockArgumentError` before any I/O.
   */
  list?(request: ListRequest): MaybePromise<ListPage>;

  /**
   * Ends the grant of a key, whoever holds it, or all of its permits, and serves the next client; the
   * holder is told by `lost` (`forced`) and by its next renewal.
   *
   * @param owner ends what this one holds, and nothing else; only where `capabilities.permits` is true
   * @returns whether there was something to end.
   */
  forceRelease(key: string, owner?: string): MaybePromise<boolean>;
}

/** A value, or a promise of it. */
export type MaybePromise<T> = T | PromiseLike<T>;

/** How long, in ms, a key stays reserved for a client that was woken. */
export const RESERVATION = 500;

/** How long, in ms, a registration in a key's queue lives unless it is refreshed. */
export const REGISTRATION = 1_500;

/** The most fencing tokens that one grant may carry. */
export const MAX_TOKENS = 1_024;

/** How many of those who wait `inspect` shows at most. */
export const MAX_QUEUE_SHOWN = 100;

/** How many of several holders `inspect` and `list` show at most. */
export const MAX_HOLDERS_SHOWN = 100;

/** What a store can and cannot promise. */
export interface StoreCapabilities {
  /**
   * `strict`: tokens of a key always grow; `best-effort`: while the server lives; `none`: every
   * token is 0.
   */
  readonly fencing: 'strict' | 'best-effort' | 'none';
  /** `notify`: the store keeps a queue and wakes its head; `poll`: waiters ask again and again. */
  readonly wakeUp: 'notify' | 'poll';
  /** The shortest lease, in ms. */
  readonly minTtl: number;
  /** In what steps, in ms, the server counts leases. */
  readonly granularity: number;
  /** True where the store runs on the locker's own clock: leases then need no allowance for drift. */
  readonly sharedClock: boolean;
  /** True where `superseded` and `forced` are told exactly; else they may read `stolen` or `evicted`. */
  readonly exactLoss: boolean;
  /** Whether several may hold a key at once, see {@link Sharing}. @default false */
  readonly permits?: boolean | undefined;
  /** For a store that cannot tell of a loss: check every held lock at least this often, in ms. */
  readonly checkEvery?: number | undefined;
}

/** What {@link LockStore.encodeKey} makes a stored key of. */
export interface EncodeKeyRequest {
  /** Of the locker. */
  readonly namespace: string;
  /** As the caller gave it. */
  readonly key: string;
  /** As the caller gave it. */
  readonly owner: string | undefined;
  /** Whether it is for an acquisition; otherwise for a question about the key, which has no owner. */
  readonly acquiring?: boolean | undefined;
}

/** What {@link LockStore.decodeKey} makes a user's key of. */
export interface DecodeKeyRequest {
  /** Of the locker. */
  readonly namespace: string;
  /** As `encodeKey` or another process made it. */
  readonly stored: string;
}

/**
 * How a key is shared by several holders, each of which has a permit: a grant with an id, a lease and a
 * token of its own. A request without it is for the key alone.
 *
 * - The first who holds a key sets its limit: 1 for one who holds it alone and for readers. While it is
 *   held, a request with another limit gets neither a grant nor a place, but `conflict`. The last to
 *   leave takes the limit with it.
 * - Permits fit beside each other as long as their weights add up to no more than the limit; readers fit
 *   beside each other, however many there are; nothing fits beside one who holds the key alone.
 * - There is one queue per key for all. What fits is granted only if nobody waits before; when something
 *   ends, the first in the queue is served if it fits now, then the next, until one does not: that one is
 *   not overtaken. Each has a reservation of its own, which takes up the room of its permit.
 * - A request with `wait` of a client that is registered changes what it waits for, and not its place.
 * - An owner takes over what it holds, past any queue, if the new grant fits then: a permit in the place of
 *   another or of the key alone, or the key alone in the place of a permit. If nobody else holds the key and
 *   it is reserved for nobody, it fits, whatever its limit.
 * - If it does not fit then, and there is no `conflict`, {@link AcquireRequest.givesUp} says whether the owner's
 *   permit is ended all the same (`superseded`).
 */
export interface Sharing {
  /** How much weight may be held at once; 1 for readers. */
  readonly limit: number;
  /** Of this permit: 1 to `limit`. */
  readonly weight: number;
  /** Whether this is a reader. */
  readonly shared: boolean;
}

/** One attempt at a lock. */
export interface AcquireRequest {
  /** As it is stored. */
  readonly key: string;
  /** Of this acquisition; used once. */
  readonly id: string;
  /**
   * Whose lock it is to be: the `id`, or where the caller gave one an owner that was never generated:
   * one that begins with `_` has another before it. At most 1 025 bytes.
   */
  readonly owner: string;
  /** Who holds, for people; at most 256 characters. */
  readonly label: string;
  /** The lease, in ms. */
  readonly ttl: number;
  /** How many fencing tokens to grant, 1 to {@link MAX_TOKENS}. */
  readonly tokens: number;
  /** The locker that asks: one place in each queue, one inbox for events. */
  readonly client: string;
  /** Whether to register in the queue when the key is busy. */
  readonly wait: boolean;
  /**
   * The id of an earlier grant of this client, to be ended in the same step. Never together with
   * `sharing`.
   */
  readonly replaces?: string | undefined;
  /** For a permit beside others; absent for the key alone. */
  readonly sharing?: Sharing | undefined;
  /**
   * Whether a permit that `owner` has is ended, and those who wait are served, if others leave no room for
   * what it asks for: whoever asks will wait, now or behind others of its client, and would wait for itself.
   */
  readonly givesUp?: boolean | undefined;
}

/** The answer to an {@link AcquireRequest}. */
export type AcquireReply =
  | {
      /** The key is the acquisition's. */
      readonly granted: true;
      /** The first of the tokens, 0 where the store gives none. */
      readonly token: number;
      /** How many there are. */
      readonly tokens: number;
      /** Whether the grant that was to be replaced was there; absent without `replaces`. */
      readonly replaced?: boolean | undefined;
      /** Of a permit: how much weight still fits beside it while nobody waits; absent for none. */
      readonly room?: number | undefined;
    }
  | {
      /** The key is busy. */
      readonly granted: false;
      /** In how many ms the key could be ours if no event comes before; absent if unknown. */
      readonly retryAfter?: number | undefined;
      /** The limit under which the key is held, where that is not the one that was asked for. */
      readonly conflict?: number | undefined;
      /** As above. */
      readonly replaced?: boolean | undefined;
    };

/** One grant to be renewed or checked. */
export interface RenewRequest {
  /** As it is stored. */
  readonly key: string;
  /** Of the acquisition that was granted. */
  readonly id: string;
  /** As in the {@link AcquireRequest}. */
  readonly owner: string;
  /** The lease from now, in ms; 0 to check without renewing. */
  readonly ttl: number;
  /** Whether it was acquired with {@link AcquireRequest.sharing}. */
  readonly permit?: boolean | undefined;
}

/** How a grant may be found gone. */
export type StoreLoss = 'stolen' | 'evicted' | 'superseded' | 'forced';

/** An error where this one grant could not be renewed or checked; it may still be held. */
export type RenewReply = 'renewed' | StoreLoss | Error;

/** One grant to be ended by its holder. */
export interface ReleaseRequest {
  /** As it is stored. */
  readonly key: string;
  /** Of the acquisition that was granted. */
  readonly id: string;
  /**
   * The grant ends only so many ms from now, sooner or later than its lease: until then the key is
   * busy for everybody, its owner included. Absent or 0: now. Of a permit it is the room that stays taken.
   */
  readonly keepFor?: number | undefined;
  /** Whether it was acquired with {@link AcquireRequest.sharing}. */
  readonly permit?: boolean | undefined;
  /**
   * Of a permit: whether its client asks for the key right after this, so that it need not be woken if it
   * is next. A store may wake it all the same.
   */
  readonly asks?: boolean | undefined;
  /**
   * The last of the grant's tokens, where the holder knows it and releases for the first time: a store
   * that has to remember it need not look for it.
   */
  readonly lastToken?: number | undefined;
}

/** A look at one key. */
export interface InspectRequest {
  /** As it is stored. */
  readonly key: string;
  /** Not counted in {@link StoredGrant.waiters}. */
  readonly client: string;
}

/** A grant as a store shows it. */
export interface StoredGrant {
  /** Of the {@link AcquireRequest}. */
  readonly owner: string;
  /** Of the {@link AcquireRequest}; `''` where the store does not keep it. */
  readonly label: string;
  /** The first of the grant's tokens, 0 where the store gives none. */
  readonly fencingToken: number;
  /** When it was granted, in ms since 1970 by the store's own clock; renewals do not change it. */
  readonly since?: number | undefined;
  /** ms until the lease ends unless it is renewed. */
  readonly remaining?: number | undefined;
  /** How many other clients are registered in the queue. */
  readonly waiters?: number | undefined;
  /**
   * Only in the answer to {@link LockStore.inspect}: the other clients that are registered in the
   * queue, the next first, at most the first {@link MAX_QUEUE_SHOWN} of them.
   */
  readonly queue?: readonly QueuedClient[] | undefined;
  /**
   * Only where the key is held by permits: those who hold it, the oldest first, at most the first
   * {@link MAX_HOLDERS_SHOWN} of them. What is outside of it is of the first.
   */
  readonly holders?: readonly StoredHolder[] | undefined;
}

/** One of several who hold a key. */
export interface StoredHolder {
  /** Of the {@link AcquireRequest}. */
  readonly owner: string;
  /** Of the {@link AcquireRequest}. */
  readonly label: string;
  readonly fencingToken: number;
  /** When it was granted, in ms since 1970 by the store's own clock. */
  readonly since?: number | undefined;
  /** ms until the lease ends unless it is renewed. */
  readonly remaining?: number | undefined;
}

/** A client in the queue of a key. */
export interface QueuedClient {
  /** Of the {@link AcquireRequest} with which it last asked. */
  readonly label: string;
  /** When it came to its place, in ms since 1970 by the store's own clock. */
  readonly since: number;
}

/** A page of what is held. */
export interface ListRequest {
  /** Of stored keys, as they are encoded; `''` for all. */
  readonly prefix: string;
  /** How many grants at most, 1 or more. */
  readonly limit: number;
  /** Of the page before; absent for the first. */
  readonly cursor?: string | undefined;
  /** Not counted in {@link StoredGrant.waiters}. */
  readonly client: string;
}

/** A grant in a page. */
export interface ListedGrant extends StoredGrant {
  /** As it is stored. */
  readonly key: string;
}

/** The answer to a {@link ListRequest}. */
export interface ListPage {
  /** In no particular order. */
  readonly grants: readonly ListedGrant[];
  /** For the next page; absent when there is none. */
  readonly cursor?: string | undefined;
}

/** What a store tells a client. */
export type StoreEvent =
  /** The key is reserved for this client: ask now. */
  | { readonly type: 'wake'; readonly key: string }
  /** A grant of this client has ended before its lease. */
  | { readonly type: 'lost'; readonly key: string; readonly id: string; readonly reason: StoreLoss }
  /** The connection was away: events may have been missed and the server may have forgotten. */
  | { readonly type: 'reconnected' }
  /** Something an operator should know; told once per code and locker. */
  | { readonly type: 'warning'; readonly code: string; readonly message: string };
