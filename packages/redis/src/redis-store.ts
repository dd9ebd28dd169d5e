import {
  LockArgumentError,
  type AcquireReply,
  type AcquireRequest,
  type InspectRequest,
  type LockStore,
  type ReleaseRequest,
  type RenewReply,
  type RenewRequest,
  type StoreCapabilities,
  type StoredGrant,
  type StoreEvent,
} from '@holdfast/core';
import { ScriptCalls } from './commands/script-calls.ts';
import type { RedisClient, RedisCluster } from './connection/client.ts';
import { checkDurability, Durability, type RedisDurability } from './durability.ts';
import { ACCEPTED, portOf } from './connection/clients.ts';
import type { ClientPort } from './connection/port.ts';
import { evictionPolicy, evictionWarning } from './eviction.ts';
import { toStoreError } from './commands/errors.ts';
import { Subscriber } from './messages/subscriber.ts';
import { fromWord, lockKey, queueKey, tokenKey } from './redis-keys.ts';
import { Batcher } from './commands/batcher.ts';
import { renewAll } from './commands/renew-all.ts';
import { REFRESHES, Who, type Registration } from './scripts/codec.ts';
import { FORCE_RELEASE } from './scripts/force-release.ts';
import { INSPECT } from './scripts/inspect.ts';
import { LEAVE } from './scripts/leave.ts';

const CAPABILITIES: StoreCapabilities = {
  fencing: 'strict',
  wakeUp: 'notify',
  minTtl: 50,
  granularity: 1,
  sharedClock: false,
  exactLoss: true,
};

/** Options of {@link redisStore}. */
export interface RedisStoreOptions {
  /**
   * A grant counts only when so many replicas have it: otherwise it is released and refused, with a
   * `LockStoreError`. Default: replicas are not asked.
   */
  durability?: RedisDurability | undefined;
}

/**
 * Locks on Redis or Valkey: one server, a primary that Sentinel names, or a Cluster.
 *
 * The client stays the user's: it is never closed, and no option of it is changed. For messages the
 * store opens one connection of its own, by `client.duplicate()`, and closes it with the last locker;
 * with `durability` another one (per master of a cluster).
 *
 * @throws LockArgumentError for what is not a client of ioredis, and for options that are wrong
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
  client: RedisClient | RedisCluster,
  options: RedisStoreOptions = {},
): LockStore {
  const port = portOf(client);
  if (port === undefined) throw new LockArgumentError(`\`redisStore()\` takes ${ACCEPTED}.`);
  if (typeof options !== 'object' || options === null) {
    throw new LockArgumentError('`options` must be an object.');
  }
  const { durability } = options;
  return new RedisStore(port, durability === undefined ? undefined : checkDurability(durability));
}

class RedisStore implements LockStore {
  readonly name = 'redis';
  readonly capabilities = CAPABILITIES;
  private readonly calls: ScriptCalls;
  private readonly inbox: Subscriber;
  private readonly outbox: Batcher;
  private readonly durability: Durability | undefined;
  /** Asked for once; a warning if it may drop locks. */
  private policy: 'unknown' | 'asked' | StoreEvent = 'unknown';
  private last: Who | undefined;

  constructor(
    private readonly client: ClientPort,
    durability: RedisDurability | undefined,
  ) {
    this.durability = durability && new Durability(client, durability);
    this.calls = new ScriptCalls(client);
    this.inbox = new Subscriber(client, this.calls);
    this.outbox = new Batcher(
      this.calls,
      () => this.inbox.live,
      ({ request, who, heard }, reply) => {
        const { key, id, wait } = request;
        const { member } = who;
        if (reply.granted) this.inbox.granted(member, key, id, heard);
        else if (wait) this.inbox.registered(member, key, heard);
        if (this.policy === 'unknown') this.askForPolicy();
      },
    );
  }

  acquire(request: AcquireRequest): Promise<AcquireReply> {
    const who = this.whoAsks(request);
    const reply = this.outbox.acquire(request, who);
    return this.durability === undefined ? reply : this.confirmed(request, reply, this.durability);
  }

  release(request: ReleaseRequest): Promise<boolean> {
    this.inbox.released(request.id);
    return this.outbox.release(request);
  }

  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    return renewAll(this.calls, requests);
  }

  async refresh(client: string, keys: readonly string[]): Promise<readonly number[]> {
    const member = this.inbox.memberOf(client);
    const heard = this.inbox.live;
    const places = keys.map((key): Registration => ({ member, key }));
    const hints = await this.calls.all(REFRESHES, places);
    return hints.map((hint, index) => {
      if (hint instanceof Error) throw hint;
      if (hint > 0) this.inbox.registered(member, keys[index] as string, heard);
      return hint;
    });
  }

  async leave(client: string, key: string): Promise<void> {
    const member = this.inbox.memberOf(client);
    this.inbox.left(member, key);
    await this.calls.one('release', LEAVE, namesOf(key), [member]);
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => void {
    const { policy } = this;
    if (typeof policy === 'object') queueMicrotask(() => listener(policy));
    const leave = this.inbox.listen(client, listener);
    if (this.durability === undefined) return leave;
    return () => {
      leave();
      if (this.inbox.isIdle) this.durability?.close();
    };
  }

  async inspect({ key, client }: InspectRequest): Promise<StoredGrant | null> {
    const member = this.inbox.memberOf(client);
    const names = [...namesOf(key), tokenKey(key)];
    const answer = await this.calls.one('inspect', INSPECT, names, [member]);
    if (answer === null) return null;
    const [owner, label, fencingToken, left, waiters] = answer as InspectAnswer;
    const remaining = left < 0 ? undefined : left;
    return { owner: fromWord(owner), label: fromWord(label), fencingToken, remaining, waiters };
  }

  async forceRelease(key: string): Promise<boolean> {
    return (await this.calls.one('force-release', FORCE_RELEASE, namesOf(key), [])) === 1;
  }

  /** A grant that too few replicas have is released and refused. */
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
      // Before the refusal, so that who tries again at once does not find its own grant.
      await this.release({ key, id }).catch(() => {});
      throw toStoreError(error, this.client, 'acquire');
    }
  }

  private whoAsks({ client, label }: AcquireRequest): Who {
    const { last } = this;
    // Most often there is one locker.
    if (last?.client === client && last.label === label) return last;
    return (this.last = new Who(client, label, this.inbox.memberOf(client)));
  }

  /** After the first answer, so that it is no part of it. */
  private askForPolicy(): void {
    this.policy = 'asked';
    const warn = (policy: string | undefined): void => {
      if (policy === undefined) return;
      this.policy = evictionWarning(policy);
      this.inbox.tell(this.policy);
    };
    // Whoever may not ask is not warned.
    evictionPolicy(this.client).then(warn, () => {});
  }
}

type InspectAnswer = [owner: string, label: string, token: number, left: number, waiters: number];

function namesOf(key: string): [lock: string, queue: string] {
  return [lockKey(key), queueKey(key)];
}
