import { randomBytes } from 'node:crypto';
import type { StoreEvent, StoreLoss } from '@holdfast/core';
import type { ScriptCalls } from '../commands/script-calls.ts';
import { canShard, type RedisClient, type RedisCluster } from '../connection/client.ts';
import { watchClient } from '../connection/watch-client.ts';
import { duplicate } from '../connection/duplicate.ts';
import { CatchUp } from './catch-up.ts';
import { fromWord, keyOf, toWord } from '../redis-keys.ts';
import { INBOX } from '../scripts/lua.ts';
import { ShardChannels } from './shard-channels.ts';

type Listener = (event: StoreEvent) => void;

/** A lock that is held for two of these, in ms, is worth a connection that tells of its loss. */
const HELD_LONG = 120;

/**
 * The messages to the lockers of one store: one connection of our own with one channel, opened on the
 * first wait, or for the first lock that is held for a while. Messages are hints: whatever they tell is
 * found out without them, only later.
 */
export class Subscriber {
  /** Whether messages arrive. */
  live = false;
  private readonly id: string;
  private readonly listeners = new Map<string, Listener>();
  private readonly missed: CatchUp;
  private readonly shards: ShardChannels | undefined;
  private connection: RedisClient | RedisCluster | undefined;
  private holdTimer: NodeJS.Timeout | undefined;
  private away = false;
  private unwatchClient = (): void => {};
  private lastClient: string | undefined;
  private lastMember = '';

  constructor(
    private readonly client: RedisClient | RedisCluster,
    calls: ScriptCalls,
  ) {
    const sharded = canShard(client);
    // The first letter tells senders how to send.
    this.id = (sharded ? 's' : 'p') + randomBytes(6).toString('base64url');
    this.missed = new CatchUp(calls, (event, member) => this.deliver(member, event));
    if (sharded)
      this.shards = new ShardChannels(client.options.keyPrefix ?? '', this.id, this.missed);
  }

  /** Whether no locker uses the store. */
  get isIdle(): boolean {
    return this.listeners.size === 0;
  }

  /** What the server calls a locker. */
  memberOf(client: string): string {
    if (this.lastClient !== client) {
      this.lastClient = client;
      this.lastMember = `${this.id}/${toWord(client)}`;
    }
    return this.lastMember;
  }

  listen(client: string, listener: Listener): () => void {
    const member = this.memberOf(client);
    if (this.listeners.size === 0) this.watchClient();
    this.listeners.set(member, listener);
    return () => {
      if (this.listeners.get(member) !== listener) return;
      this.listeners.delete(member);
      if (this.listeners.size === 0) this.close();
    };
  }

  /**
   * A client was registered in a queue by a request that was sent when messages did (`heard`) or did
   * not arrive.
   */
  registered(member: string, key: string, heard: boolean): void {
    if (this.listeners.size === 0) return;
    this.open();
    if (this.shards !== undefined) this.shards.subscribe({ member, key });
    else if (!heard) this.missed.wait({ member, key }, this.live);
  }

  /** As {@link registered}, for a grant. */
  granted(member: string, key: string, id: string, heard: boolean): void {
    if (heard || this.listeners.size === 0) return;
    this.missed.grant({ member, key, id }, this.live);
    if (!this.live && this.connection === undefined) this.watchHolds();
  }

  released(key: string, id: string): void {
    this.missed.released(key, id);
  }

  /** A client asks: what it was told before is used up. */
  asks(member: string, key: string): void {
    this.missed.asks(member, key);
  }

  /** Tells all lockers. */
  tell(event: StoreEvent): void {
    for (const listener of this.listeners.values()) listener(event);
  }

  private readonly onMessage = (_channel: string, message: string): void => {
    const [type, member = '', ...words] = message.split(' ');
    const key = keyOf(message);
    if (type === 'wake') {
      const registration = { member, key };
      this.shards?.heard(registration);
      if (!this.missed.isRepeatedWake(registration)) this.deliver(member, { type: 'wake', key });
    } else if (type === 'lost') {
      const [reason, word = ''] = words;
      const id = fromWord(word);
      if (this.missed.isRepeatedLoss(key, id)) return;
      this.deliver(member, { type: 'lost', key, id, reason: reason as StoreLoss });
    }
  };

  private deliver(member: string, event: StoreEvent): void {
    this.listeners.get(member)?.(event);
  }

  /** Opens the connection as soon as a lock has been held for a while. */
  private watchHolds(): void {
    if (this.holdTimer !== undefined) return;
    this.holdTimer = setTimeout(() => {
      this.holdTimer = undefined;
      const { grants } = this.missed;
      if (grants.nextTurn()) this.open();
      else if (grants.size > 0) this.watchHolds();
    }, HELD_LONG);
    this.holdTimer.unref();
  }

  private open(): void {
    if (this.connection !== undefined || this.client.status === 'end') return;
    const connection = duplicate(this.client);
    this.connection = connection;
    this.shards?.attach(connection as RedisCluster);
    // What fails here fails for the user's client too, which tells of it.
    connection.on('error', () => {});
    connection.on('message', this.onMessage);
    connection.on('smessage', this.onMessage);
    connection.on('ready', () => this.subscribe(connection));
    connection.on('close', () => {
      if (this.connection === connection) this.live = false;
    });
    connection.on('end', () => {
      if (this.connection === connection) this.connection = undefined;
    });
    connection.connect().catch(() => {});
    this.missed.opening();
  }

  private subscribe(connection: RedisClient | RedisCluster): void {
    const current = (): boolean => this.connection === connection;
    connection.subscribe(INBOX + this.id).then(
      () => {
        if (!current()) return;
        this.live = true;
        if (!this.missed.recover()) this.tell({ type: 'reconnected' });
      },
      (error: unknown) => {
        if (!current() || connection.status !== 'ready') return;
        const message = `Locks are passed on late, because messages do not arrive: ${String(error)}`;
        this.tell({ type: 'warning', code: 'HOLDFAST_REDIS_NO_MESSAGES', message });
      },
    );
  }

  private close(): void {
    const { connection } = this;
    this.connection = undefined;
    this.live = false;
    clearTimeout(this.holdTimer);
    this.holdTimer = undefined;
    this.missed.reset();
    this.shards?.detach();
    connection?.disconnect();
    this.unwatchClient();
  }

  private watchClient(): void {
    this.unwatchClient = watchClient(this.client, {
      close: () => (this.away = true),
      // It was away, and with it perhaps the server's memory.
      ready: () => {
        if (!this.away) return;
        this.away = false;
        this.tell({ type: 'reconnected' });
      },
      // The user has closed it: without it our own connection would keep the process alive.
      end: () => {
        const { connection } = this;
        this.connection = undefined;
        this.live = false;
        connection?.disconnect();
      },
    });
  }
}
