import {
  checkOptions,
  LockArgumentError,
  type AcquireReply,
  type AcquireRequest,
  type InspectRequest,
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
} from '@holdfast/core';
import { ScriptCalls } from './commands/script-calls.ts';
import {
  ACCEPTED,
  portOf,
  type AnyRedisClient,
  type AnyRedisCluster,
} from './connection/clients.ts';
import type { ClientPort } from './connection/port.ts';
import { checkDurability, Durability, type RedisDurability } from './durability.ts';
import { evictionPolicies, evictionWarning } from './eviction.ts';
import { toStoreError } from './commands/errors.ts';
import { Subscriber } from './messages/subscriber.ts';
import { Batcher, type SentAcquire } from './commands/batcher.ts';
import { ReadOnlyWatch } from './commands/read-only-watch.ts';
import { LONGEST_GAP, renewAll } from './commands/renew-all.ts';
import { listLocks } from './list.ts';
import { checkRetention } from './option-checks.ts';
import { AcquireTerms, isBesideSeveral } from './scripts/acquire.ts';
import { FORCED_RELEASES } from './scripts/force-release.ts';
import { INSPECTIONS } from './scripts/inspect.ts';
import { ALONE_ACQUISITIONS } from './scripts/permits/acquire-alone.ts';
import { LEAVES } from './scripts/leave.ts';
import { Permits } from './permits.ts';
import { REFRESHES } from './scripts/refresh.ts';
import { renewals } from './scripts/renew.ts';

const CAPABILITIES: StoreCapabilities = {
  fencing: 'strict',
  wakeUp: 'notify',
  minTtl: 50,
  granularity: 1,
  sharedClock: false,
  exactLoss: true,
  permits: true,
};

/** Options of {@link redisStore}. */
export interface RedisStoreOptions {
  /**
   * A grant counts only when so many replicas have it: otherwise it is refused, with a `LockStoreError`.
   *
   * @default replicas are not asked
   */
  durability?: RedisDurability | undefined;
  /**
   * How long a key is remembered after its last grant, in ms, so that its fencing tokens grow also if
   * the clock of the server is set back: at least two leases, at most 24 h. Shorten it where keys never
   * come again and there are many of them: each costs the server some 100 bytes for so long.
   *
   * @default 86_400_000 (24 h)
   */
  tokenRetention?: number | undefined;
}

/**
 * Locks on Redis or Valkey: one server, a primary that Sentinel names, or a Cluster; by a client of
 * ioredis, iovalkey, node-redis or GLIDE.
 *
 * The client stays the user's: it is never closed, and no option of it is changed. For messages the
 * store opens one connection of its own, a copy of the client, and closes it with the last locker;
 * with `durability` another one (per master of a cluster).
 *
 * @throws LockArgumentError for what is not a client that Holdfast knows, and for options that are wrong
 * @example
 * ```ts
 * import { createLocker } from '@holdfast/core';
 * import { redisStore } from '@holdfast/redis';
 * import { Redis } from 'ioredis';
 *
 * const locker = createLocker({ store: redisStore(new Redis(url)) });
 * ```
 */
export function redisStore(
  client: AnyRedisClient | AnyRedisCluster,
  options: RedisStoreOptions = {},
): LockStore {
  const port = portOf(client);
  if (port === undefined) throw new LockArgumentError(`\`redisStore()\` takes ${ACCEPTED}.`);
  checkOptions<RedisStoreOptions>(options, { durability: true, tokenRetention: true });
  const { durability, tokenRetention } = options;
  const retention = checkRetention(tokenRetention);
  return new RedisStore(
    port,
    retention,
    durability === undefined ? undefined : checkDurability(durability, port),
  );
}

class RedisStore implements LockStore {
  readonly name = 'redis';
  readonly capabilities: StoreCapabilities;
  private readonly calls: ScriptCalls;
  private readonly inbox: Subscriber;
  private readonly permits: Permits;
  private readonly outbox: Batcher;
  private readonly durability: Durability | undefined;
  private readonly renewals: ReturnType<typeof renewals>;
  private readonly readOnly: ReadOnlyWatch;
  private unwatchScripts: (() => void) | undefined;
  /** Asked for once; a warning if it may drop locks. */
  private policy: 'unknown' | 'asked' | StoreEvent = 'unknown';
  /** Of the last acquisition. */
  private terms: AcquireTerms | undefined;
  /** By locker: the label with which it last asked and waits. */
  private readonly labels = new Map<string, string>();

  /** Each acquisition that the server has answered comes by here, before its caller hears of it. */
  private readonly answered = (
    { request, terms, heard }: SentAcquire,
    reply: AcquireReply,
  ): void => {
    const { key, id, client, label, wait } = request;
    if (reply.granted) {
      this.readOnly.refusedSince = undefined;
      this.inbox.granted(terms.member, key, id, heard);
    } else if (wait) {
      this.labels.set(client, label);
      this.permits.forget(client, key);
      this.inbox.registered(terms.member, key, heard);
    }
    if (this.policy === 'unknown') this.askForPolicy();
  };

  constructor(
    private readonly client: ClientPort,
    private readonly retention: number,
    durability: RedisDurability | undefined,
  ) {
    this.durability = durability && new Durability(client, durability);
    // Whether replicas have a permit is not asked.
    this.capabilities =
      durability === undefined ? CAPABILITIES : { ...CAPABILITIES, permits: false };
    this.readOnly = new ReadOnlyWatch(client, (event) => this.inbox.tell(event));
    this.calls = new ScriptCalls(client, (error) => this.readOnly.failed(error));
    this.renewals = renewals(retention);
    this.inbox = new Subscriber(client, this.calls);
    this.permits = new Permits(this.calls, this.inbox, retention);
    this.outbox = new Batcher(this.calls, this.inbox.connection, this.answered);
  }

  acquire(request: AcquireRequest): Promise<AcquireReply> {
    if (request.sharing !== undefined) return this.acquirePermit(request, request.sharing);
    let { terms } = this;
    // Most often there is one locker, with the same settings for all locks.
    if (terms === undefined || !terms.fit(request)) {
      const member = this.inbox.memberOf(request.client);
      this.terms = terms = new AcquireTerms(request, member, this.retention);
    }
    let reply = this.outbox.acquire(request, terms);
    if (request.owner !== request.id) reply = this.besideItself(request, terms, reply);
    return this.durability === undefined ? reply : this.confirmed(request, reply, this.durability);
  }

  release(request: ReleaseRequest): Promise<boolean> {
    this.inbox.released(request.id);
    if (request.permit === true) return this.permits.release(request);
    return this.outbox.release(request);
  }

  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    return renewAll(this.calls, this.renewals, requests);
  }

  async refresh(client: string, keys: readonly string[]): Promise<readonly (number | Error)[]> {
    const member = this.inbox.memberOf(client);
    const label = this.labels.get(client) ?? '-';
    const heard = this.inbox.connection.live;
    const places = keys.map((key) => {
      return { member, key, label, wanted: this.permits.wantedBy(client, key) };
    });
    const hints = await this.permits.refresh(
      places,
      await this.calls.all(REFRESHES, places, LONGEST_GAP),
    );
    for (const [index, hint] of hints.entries()) {
      if (hint instanceof Error || hint <= 0) continue;
      this.inbox.registered(member, keys[index] as string, heard);
    }
    return hints;
  }

  leave(client: string, key: string): Promise<void> {
    const member = this.inbox.memberOf(client);
    this.inbox.left(member, key);
    this.permits.forget(client, key);
    return this.permits.leave({ member, key }, this.calls.one(LEAVES, { member, key }));
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => void {
    const { policy } = this;
    if (typeof policy === 'object') void Promise.resolve(policy).then(listener);
    this.unwatchScripts ??= this.calls.watch();
    const leave = this.inbox.listen(client, listener);
    return () => {
      leave();
      this.labels.delete(client);
      this.permits.forget(client);
      if (!this.inbox.isIdle) return;
      this.unwatchScripts?.();
      this.unwatchScripts = undefined;
      this.durability?.close();
    };
  }

  inspect({ key, client }: InspectRequest): Promise<StoredGrant | null> {
    const asked = { key, member: this.inbox.memberOf(client) };
    return this.permits.inspect(asked, this.calls.one(INSPECTIONS, asked));
  }

  list(request: ListRequest): Promise<ListPage> {
    return listLocks(this.calls, this.permits, this.inbox.memberOf(request.client), request);
  }

  async forceRelease(key: string, owner?: string): Promise<boolean> {
    const freed = await this.calls.one(FORCED_RELEASES, { key, owner });
    return freed === 'several' ? this.permits.end(key, owner) : freed;
  }

  /** An owner that wants a lock alone may have a permit of it. The usual script does not look at permits. */
  private async besideItself(
    request: AcquireRequest,
    terms: AcquireTerms,
    asked: Promise<AcquireReply>,
  ): Promise<AcquireReply> {
    const reply = await asked;
    if (!isBesideSeveral(reply)) return reply;
    const sent = { key: request.key, request, terms, heard: this.inbox.connection.live };
    const granted = await this.calls.one(ALONE_ACQUISITIONS, sent);
    if (granted === undefined) return reply;
    this.answered(sent, granted);
    return granted;
  }

  private async acquirePermit(request: AcquireRequest, sharing: Sharing): Promise<AcquireReply> {
    const reply = await this.permits.acquire(request, sharing);
    if (reply.granted) this.readOnly.refusedSince = undefined;
    else if (request.wait) this.labels.set(request.client, request.label);
    if (this.policy === 'unknown') this.askForPolicy();
    return reply;
  }

  /**
   * A grant that too few replicas have is refused. The locker asks for it again or takes it back, as it
   * does with whatever failed; if it were released here, a later attempt might lose it.
   */
  private async confirmed(
    { key, id }: AcquireRequest,
    asked: Promise<AcquireReply>,
    durability: Durability,
  ): Promise<AcquireReply> {
    const reply = await asked;
    if (!reply.granted) return reply;
    try {
      // Nobody would close the connection any more.
      if (this.inbox.isIdle) throw new Error('No locker uses the store any more.');
      await durability.confirm(key, id);
      return reply;
    } catch (error) {
      throw toStoreError(error, this.client, 'acquire');
    }
  }

  /** After the first answer, so that it is no part of it. */
  private askForPolicy(): void {
    this.policy = 'asked';
    const warn = (policy: string | undefined): void => {
      if (policy === undefined || typeof this.policy === 'object') return;
      this.policy = evictionWarning(policy);
      this.inbox.tell(this.policy);
    };
    // Whoever may not ask is not warned.
    evictionPolicies(this.client).then(
      (answers) => {
        for (const answer of answers) answer.then(warn, () => {});
      },
      () => {},
    );
  }
}
