export type { RedisClient, RedisClientOptions, RedisCluster } from './client.ts';
export { redisStore } from './redis-store.ts';
