/**
 * A client of one Redis server, or of the primary that Sentinel names: what Holdfast needs of ioredis'
 * `Redis`, 5 or 6. It is the user's: Holdfast never closes it.
 */
export interface RedisClient {
  readonly status: string;
  readonly options: RedisClientOptions;
  evalsha(sha: string, keys: number, words: string[]): Promise<unknown>;
  eval(script: string, keys: number, words: string[]): Promise<unknown>;
  info(section: string): Promise<string>;
  subscribe(...channels: string[]): Promise<unknown>;
  connect(): Promise<unknown>;
  disconnect(): void;
  duplicate(override?: object): RedisClient;
  // The listener's arguments depend on the event.
  // oxlint-disable-next-line typescript/no-explicit-any
  on(event: string, listener: (...args: any[]) => void): unknown;
  // oxlint-disable-next-line typescript/no-explicit-any
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** A client of a Redis Cluster: what Holdfast needs of ioredis' `Cluster`, 5 or 6. */
export interface RedisCluster extends Omit<RedisClient, 'duplicate'> {
  nodes(role?: 'all' | 'master' | 'slave'): RedisClient[];
  ssubscribe(...channels: string[]): Promise<unknown>;
  sunsubscribe(...channels: string[]): Promise<unknown>;
  duplicate(startupNodes?: [], override?: object): RedisCluster;
}

/** Of the options that the user gave to the client, those that matter to Holdfast. */
export interface RedisClientOptions {
  readonly keyPrefix?: string | undefined;
  readonly db?: number | undefined;
}

export function isCluster(client: RedisClient | RedisCluster): client is RedisCluster {
  return typeof (client as Partial<RedisCluster>).nodes === 'function';
}

/** Whether this ioredis can listen to sharded channels of a cluster: 5.9 and later. */
export function canShard(client: RedisClient | RedisCluster): boolean {
  const options = client.options as { shardedSubscribers?: unknown };
  return isCluster(client) && typeof options.shardedSubscribers === 'boolean';
}
