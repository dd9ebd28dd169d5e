export type { RedisDurability } from './durability.ts';
export type { RedisClient, RedisClientOptions, RedisCluster } from './connection/client.ts';
export { redisQuorum, type RedisQuorumOptions } from './quorum/redis-quorum.ts';
export { redisStore, type RedisStoreOptions } from './redis-store.ts';
