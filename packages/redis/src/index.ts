export type { RedisDurability } from './durability.ts';
export type { RedisClient, RedisClientOptions, RedisCluster } from './connection/client.ts';
export type { AnyRedisClient, AnyRedisCluster } from './connection/clients.ts';
export type { GlideClient, GlideClusterClient } from './connection/glide-types.ts';
export type {
  NodeRedisClient,
  NodeRedisCluster,
  NodeRedisClusterNode,
  NodeRedisSentinel,
} from './connection/node-redis-types.ts';
export { redisQuorum, type RedisQuorumOptions } from './quorum/redis-quorum.ts';
export { redisScripts, type RedisScripts } from './redis-scripts.ts';
export { redisStore, type RedisStoreOptions } from './redis-store.ts';
