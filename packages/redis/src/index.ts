export type { RedisClient, RedisClientOptions, RedisCluster } from './client.ts';
export { redisQuorum, type RedisQuorumOptions } from './quorum/redis-quorum.ts';
export { redisStore } from './redis-store.ts';
