import { expect, test } from 'vitest';
import { redisBinary, redisCommand, startRedisCluster, startRedisSentinel } from '../src/index.ts';

test('a cluster serves all its slots', { timeout: 40_000 }, async () => {
  const cluster = await startRedisCluster(redisBinary());
  try {
    for (const master of cluster.masters) {
      const info = await redisCommand(master, 'CLUSTER', 'INFO');
      expect(info).toContain('cluster_slots_ok:16384');
    }
  } finally {
    await cluster.stop();
  }
});

test(
  'a Sentinel makes the replica the primary when that is gone',
  { timeout: 40_000 },
  async () => {
    const sentinel = await startRedisSentinel(redisBinary());
    try {
      const [primary, replica] = sentinel.servers;
      expect(await sentinel.primaryPort()).toBe(primary.port);
      await primary.kill();
      await expect.poll(() => sentinel.primaryPort(), { timeout: 30_000 }).toBe(replica.port);
    } finally {
      await sentinel.stop();
    }
  },
);
