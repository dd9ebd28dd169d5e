import { redisQuorum, redisStore, type RedisClient, type RedisCluster } from '@holdfast/redis';
import type { Cluster, Redis } from 'ioredis';
import { expectTypeOf, test } from 'vitest';

test('the clients of this version fit', () => {
  expectTypeOf<Redis>().toExtend<RedisClient>();
  expectTypeOf<Cluster>().toExtend<RedisCluster>();
  expectTypeOf(redisStore).toBeCallableWith({} as Redis);
  expectTypeOf(redisStore).toBeCallableWith({} as Cluster);
  expectTypeOf(redisQuorum).toBeCallableWith([{} as Redis], { nodeTimeout: undefined });
});
