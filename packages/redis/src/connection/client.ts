/**
 * A client of one Redis server, or of the primary that Sentinel names: what Holdfast needs of the
 * `Redis` of ioredis 5 and 6 and of iovalkey. It is the user's: Holdfast never closes it.
 */
export interface RedisClient {
  readonly status: string;
  readonly options: RedisClientOptions;
  evalsha(sha: string, keys: number, words: string[]): Promise<unknown>;
  eval(script: string, keys: number, words: string[]): Promise<unknown>;
  info(section: string): Promise<string>;
  scan(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    keys: number,
  ): Promise<unknown>;
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

/** A client of a Redis Cluster: what Holdfast needs of the `Cluster` of ioredis 5 and 6 and of iovalkey. */
export interface RedisCluster extends Omit<RedisClient, 'duplicate' | 'subscribe'> {
  nodes(role?: 'all' | 'master' | 'slave'): RedisClient[];
}

/** Of the options that the user gave to the client, those that matter to Holdfast. */
export interface RedisClientOptions {
  readonly keyPrefix?: string | undefined;
  readonly db?: number | undefined;
}
