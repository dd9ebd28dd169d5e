import type { RedisClient, RedisCluster } from './client.ts';
import { glidePort } from './glide.ts';
import type { GlideClient, GlideClusterClient } from './glide-types.ts';
import { ioredisPort } from './ioredis.ts';
import { nodeRedisPort } from './node-redis.ts';
import type { NodeRedisClient, NodeRedisCluster, NodeRedisSentinel } from './node-redis-types.ts';
import type { ClientPort } from './port.ts';

/** A client that Holdfast can use, of one server, or of the primary that Sentinel names. */
export type AnyRedisClient = RedisClient | NodeRedisClient | NodeRedisSentinel | GlideClient;

/** A client that Holdfast can use, of a Cluster. */
export type AnyRedisCluster = RedisCluster | NodeRedisCluster | GlideClusterClient;

/** What error messages call the clients that Holdfast can use. */
export const ACCEPTED =
  'a client of ioredis or iovalkey (`Redis`, `Cluster`), of node-redis 5 or 6 (`createClient()`, ' +
  '`createCluster()`, `createSentinel()`), or of GLIDE 2 (`GlideClient`, `GlideClusterClient`)';

/** How a user's client is used, if it is one that Holdfast knows by its shape. */
export function portOf(client: unknown): ClientPort | undefined {
  return ioredisPort(client) ?? nodeRedisPort(client) ?? glidePort(client);
}
