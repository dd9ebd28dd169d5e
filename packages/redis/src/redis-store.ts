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
  type StoreLoss,
} from '@holdfast/core';
import { Calls } from './calls.ts';
import type { RedisClient, RedisCluster } from './client.ts';
import { evictionPolicy } from './eviction.ts';
import { Inbox } from './inbox.ts';
import { endedKey, fromWord, lockKey, queueKey, tokenKey, toWord, waitingKey } from './names.ts';
import { Outbox, type AskedAcquire, type AskedRelease } from './outbox.ts';
import { ACQUIRE } from './scripts/acquire.ts';
import { FORCE_RELEASE } from './scripts/force-release.ts';
import { INSPECT } from './scripts/inspect.ts';
import { LEAVE } from './scripts/leave.ts';
import { LOSS } from './scripts/loss.ts';
import { REFRESH } from './scripts/refresh.ts';
import { RELEASE } from './scripts/release.ts';
import { RENEW } from './scripts/renew.ts';

const CAPABILITIES: StoreCapabilities = {
  fencing: 'strict',
  wakeUp: 'notify',
  minTtl: 50,
  granularity: 1,
  sharedClock: false,
  exactLoss: true,
};

/**
 * Locks on Redis or Valkey: one server, a primary that Sentinel names, or a Cluster.
 *
 * The client stays the user's: it is never closed, and no option of it is changed. For messages the
 * store opens one connection of its own, by `client.duplicate()`, and closes it with the last locker.
 *
 * @throws LockArgumentError for what is not a client of ioredis
 * @example
 * ```ts
 * import { createLocker } from '@holdfast/core';
 * import { redisStore } from '@holdfast/redis';
 * import { Redis } from 'ioredis';
 *
 * const locker = createLocker({ store: redisStore(new Redis(url)) });
 * ```
 */
export function redisStore(client: RedisClient | RedisCluster): LockStore {
  const known = client as Partial<RedisClient> | null | undefined;
  if (typeof known?.evalsha !== 'function' || typeof known.duplicate !== 'function') {
    throw new LockArgumentError('`redisStore()` takes a client of ioredis.');
  }
  return new RedisStore(client);
}

class RedisStore implements LockStore {
  readonly name = 'redis';
  readonly capabilities = CAPABILITIES;
  private readonly calls: Calls;
  private readonly inbox: Inbox;
  private readonly outbox: Outbox;
  /** Asked for once; a warning if it may drop locks. */
  private policy: 'unknown' | 'asked' | StoreEvent = 'unknown';
  private lastWho: Who | undefined;

  constructor(private readonly client: RedisClient | RedisCluster) {
    this.calls = new Calls(client);
    this.inbox = new Inbox(client, this.calls);
    this.outbox = new Outbox(
      (asked) => this.sendReleases(asked),
      (asked) => this.sendAcquires(asked),
    );
  }

  acquire(request: AcquireRequest): Promise<AcquireReply> {
    return this.outbox.acquire(request);
  }

  release(request: ReleaseRequest): Promise<boolean> {
    return this.outbox.release(request);
  }

  async renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    const replies = await this.calls.all<RenewRequest, RenewReply | undefined>(
      {
        phase: 'renew',
        script: RENEW,
        keyOf: ({ key }) => key,
        keys: ({ key }, keys) => keys.push(lockKey(key)),
        args: ({ id, ttl }, args) => args.push(toWord(id), String(ttl)),
        reply: (answers, index) => (answers[index] === 1 ? 'renewed' : undefined),
      },
      requests,
    );
    const gone = requests.filter((_, index) => replies[index] === undefined);
    const reasons = gone.length === 0 ? [] : await this.reasons(gone);
    return replies.map((reply) => reply ?? (reasons.shift() as RenewReply));
  }

  async refresh(client: string, keys: readonly string[]): Promise<readonly number[]> {
    const member = this.inbox.member(client);
    const heard = this.inbox.live;
    const hints = await this.calls.all<string, number>(
      {
        phase: 'acquire',
        script: REFRESH,
        keyOf: (key) => key,
        keys: (key, names) => names.push(lockKey(key), queueKey(key), waitingKey(key)),
        args: () => {},
        head: [this.inbox.prefix, member],
        reply: (answers, index) => answers[index] as number,
      },
      keys,
    );
    return hints.map((hint, index) => {
      if (hint instanceof Error) throw hint;
      if (hint > 0) this.inbox.registered(member, keys[index] as string, heard);
      return hint;
    });
  }

  async leave(client: string, key: string): Promise<void> {
    const names = [lockKey(key), queueKey(key), waitingKey(key)];
    await this.calls.one('release', LEAVE, names, [this.inbox.prefix, this.inbox.member(client)]);
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => void {
    if (typeof this.policy === 'object') {
      const warning = this.policy;
      queueMicrotask(() => listener(warning));
    }
    return this.inbox.listen(client, listener);
  }

  async inspect({ key, client }: InspectRequest): Promise<StoredGrant | null> {
    const names = [lockKey(key), queueKey(key), waitingKey(key)];
    const answer = await this.calls.one('inspect', INSPECT, names, [this.inbox.member(client)]);
    if (answer === null) return null;
    const [owner, label, token, remaining, waiters] = answer as [
      ...[string, string, string],
      ...[number, number],
    ];
    return {
      owner: fromWord(owner),
      label: fromWord(label),
      fencingToken: Number(token),
      remaining: remaining < 0 ? undefined : remaining,
      waiters,
    };
  }

  async forceRelease(key: string): Promise<boolean> {
    const names = [lockKey(key), queueKey(key), waitingKey(key), endedKey(key)];
    const args = [this.inbox.prefix];
    return (await this.calls.one('force-release', FORCE_RELEASE, names, args)) === 1;
  }

  private sendAcquires(asked: readonly AskedAcquire[]): void {
    const { inbox } = this;
    const heard = inbox.live;
    this.calls.many<AskedAcquire, AcquireReply>(
      {
        phase: 'acquire',
        script: ACQUIRE,
        head: [inbox.prefix],
        keyOf: ({ request }) => request.key,
        keys: ({ request: { key } }, keys) => {
          keys.push(lockKey(key), queueKey(key), waitingKey(key), tokenKey(key), endedKey(key));
        },
        args: ({ request }, args) => {
          const { id, owner, ttl, tokens, wait, replaces, key } = request;
          const who = this.whoAsks(request);
          inbox.asks(who.member, key);
          const terms = `${ttl} ${tokens} ${wait ? 1 : 0}`;
          const word = toWord(id);
          args.push(
            word,
            owner === id ? word : toWord(owner),
            who.words,
            replaces === undefined ? terms : `${terms} ${toWord(replaces)}`,
          );
        },
        reply: acquireReply,
        answered: ({ request, resolve }, reply) => {
          const { key, id, wait } = request;
          if (!heard || !reply.granted) {
            const { member } = this.whoAsks(request);
            if (reply.granted) inbox.granted(member, key, id, heard);
            else if (wait) inbox.registered(member, key, heard);
          }
          resolve(reply);
          if (this.policy === 'unknown') this.askForPolicy();
        },
        failed: ({ reject }, error) => reject(error),
      },
      asked,
    );
  }

  private sendReleases(asked: readonly AskedRelease[]): void {
    this.calls.many<AskedRelease, boolean>(
      {
        phase: 'release',
        script: RELEASE,
        head: [this.inbox.prefix],
        keyOf: ({ request }) => request.key,
        keys: ({ request: { key } }, keys) => {
          keys.push(lockKey(key), queueKey(key), waitingKey(key));
        },
        args: ({ request: { id, keepFor = 0 } }, args) => {
          this.inbox.released(id);
          args.push(toWord(id), String(Math.ceil(keepFor)));
        },
        reply: (answers, index) => answers[index] === 1,
        answered: ({ resolve }, freed) => resolve(freed),
        failed: ({ reject }, error) => reject(error),
      },
      asked,
    );
  }

  /** Why grants are gone. */
  private async reasons(gone: readonly RenewRequest[]): Promise<RenewReply[]> {
    return this.calls.all<RenewRequest, RenewReply>(
      {
        phase: 'renew',
        script: LOSS,
        keyOf: ({ key }) => key,
        keys: ({ key }, keys) => keys.push(lockKey(key), endedKey(key)),
        args: ({ id }, args) => args.push(toWord(id)),
        reply: (answers, index) => answers[index] as StoreLoss,
      },
      gone,
    );
  }

  private whoAsks({ client, label }: AcquireRequest): Who {
    const last = this.lastWho;
    if (last?.client === client && last.label === label) return last;
    const member = this.inbox.member(client);
    return (this.lastWho = { client, label, member, words: `${member} ${toWord(label)}` });
  }

  /** After the first answer, so that it is no part of it. */
  private askForPolicy(): void {
    this.policy = 'asked';
    const warn = (policy: string | undefined): void => {
      if (policy === undefined) return;
      const message =
        `The eviction policy of Redis is '${policy}': under memory pressure it drops locks that are ` +
        "held. Set 'maxmemory-policy' to 'noeviction'.";
      this.policy = { type: 'warning', code: 'HOLDFAST_REDIS_EVICTION', message };
      this.inbox.tell(this.policy);
    };
    // Whoever may not ask is not warned.
    evictionPolicy(this.client).then(warn, () => {});
  }
}

/** Who asks for a lock, as the server calls it. */
interface Who {
  readonly client: string;
  readonly label: string;
  readonly member: string;
  readonly words: string;
}

function acquireReply(answers: readonly unknown[], index: number): AcquireReply {
  const [kind, first, second] = answers.slice(3 * index, 3 * index + 3) as [number, number, number];
  // 2: the grant that was to be replaced was there.
  const replaced = kind >= 2;
  if (kind % 2 === 1) return { granted: true, token: first, tokens: second, replaced };
  return { granted: false, retryAfter: first, replaced };
}
