import type { RedisCluster } from '../connection/client.ts';
import { lockKey } from '../redis-keys.ts';
import type { CatchUp } from './catch-up.ts';
import type { Registration } from '../scripts/codec.ts';

/** Channels that stay open in case the same locks are waited for again. */
const MOST = 1_000;

/** Those who wait for a channel to open, or nobody when it is open. */
type Opening = Registration[] | undefined;

/**
 * The channels by which locks of a cluster wake us: one per lock, because a sharded channel belongs to
 * one slot. Who cannot have one has the plain channel, refreshing and timers.
 */
export class ShardChannels {
  /** By the lock's key, in the order of their opening. */
  private readonly channels = new Map<string, Opening>();
  private connection: RedisCluster | undefined;

  constructor(
    private readonly prefix: string,
    private readonly id: string,
    private readonly missed: CatchUp,
  ) {}

  attach(connection: RedisCluster): void {
    this.connection = connection;
    this.channels.clear();
  }

  detach(): void {
    this.connection = undefined;
    this.channels.clear();
  }

  /** Opens the channel of a lock, and looks up what it has missed. */
  subscribe(registration: Registration): void {
    const { connection, channels } = this;
    const { key } = registration;
    if (connection === undefined) return;
    if (channels.has(key)) {
      channels.get(key)?.push(registration);
      return;
    }
    const opening = [registration];
    channels.set(key, opening);
    const settle = (opened: boolean): void => {
      if (channels.get(key) !== opening) return;
      if (opened) channels.set(key, undefined);
      else channels.delete(key);
      if (opened) this.missed.lookUpWaits(opening);
    };
    attempt(() => connection.ssubscribe(this.nameOf(key)), settle);
    if (channels.size > MOST) this.closeOldest(connection);
  }

  /** A message came, perhaps before we know that its channel is open. */
  heard({ member, key }: Registration): void {
    const opening = this.channels.get(key);
    const index = opening?.findIndex((one) => one.member === member) ?? -1;
    if (index >= 0) opening?.splice(index, 1);
  }

  private closeOldest(connection: RedisCluster): void {
    const [oldest = ''] = this.channels.keys();
    this.channels.delete(oldest);
    attempt(
      () => connection.sunsubscribe(this.nameOf(oldest)),
      () => {},
    );
  }

  private nameOf(key: string): string {
    return `${this.prefix}${lockKey(key)}:${this.id}`;
  }
}

/** ioredis also throws at once, while it does not know the nodes of the cluster yet. */
function attempt(send: () => Promise<unknown>, settle: (done: boolean) => void): void {
  try {
    send().then(
      () => settle(true),
      () => settle(false),
    );
  } catch {
    settle(false);
  }
}
