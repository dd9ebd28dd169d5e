import { canShard, isCluster, type RedisClient, type RedisCluster } from './client.ts';

/** Between two attempts to connect, in ms. */
const retry = (attempt: number): number => Math.min(attempt * 50, 1_000);

/**
 * What differs from the user's own connection: channels get no prefix, and it never gives up, because
 * whether there is a server is for the user's client to say.
 */
const OVERRIDE = {
  lazyConnect: true,
  keyPrefix: '',
  // Channels are subscribed to anew on `ready`, so that it is known when that has been done.
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: null,
  commandTimeout: undefined,
  enableOfflineQueue: true,
  enableAutoPipelining: false,
  disconnectTimeout: 200,
  retryStrategy: retry,
  sentinelRetryStrategy: retry,
};

/** A connection of our own to where the user's client is connected to, for messages. */
export function duplicate(client: RedisClient | RedisCluster): RedisClient | RedisCluster {
  if (!isCluster(client)) return client.duplicate(OVERRIDE);
  return client.duplicate([], {
    lazyConnect: true,
    keyPrefix: '',
    redisOptions: { keyPrefix: '', commandTimeout: undefined, disconnectTimeout: 200 },
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    clusterRetryStrategy: retry,
    shardedSubscribers: canShard(client),
  });
}

/** A connection of our own, for requests that keep it busy. What fails there is not tried again. */
export function duplicateForWaiting(
  client: RedisClient,
  keyPrefix: string | undefined,
): RedisClient {
  return client.duplicate({
    ...OVERRIDE,
    keyPrefix: keyPrefix ?? '',
    maxRetriesPerRequest: 0,
  });
}
