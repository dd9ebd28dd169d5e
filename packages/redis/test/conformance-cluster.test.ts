import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedisCluster, type TestCluster } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Cluster } from 'ioredis';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { capabilities } from './kit.ts';

let cluster: TestCluster | undefined;
beforeAll(async () => {
  cluster = await startRedisCluster(redisBinary());
}, 40_000);
afterAll(() => cluster?.stop());

const pipelining = {
  enableAutoPipelining: true,
  // ioredis before 5.11 takes the name of a script for a key, and sends it to any node.
  autoPipeliningIgnoredCommands: ['eval', 'evalsha'],
};

const ways: Record<string, { keyPrefix?: string } | typeof pipelining> = {
  'a cluster': {},
  'a cluster, with a key prefix': { keyPrefix: 'app:' },
  'a cluster, with automatic pipelining': pipelining,
};

describe.concurrent.each(Object.entries(ways))('%s', (_, options) => {
  let client: Cluster | undefined;
  const createStore = () => {
    const nodes = cluster?.masters.map(({ host, port }) => ({ host, port })) ?? [];
    return redisStore((client ??= new Cluster(nodes, options)));
  };
  afterAll(() => client?.disconnect());
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, { timeout: 30_000 }, run);
  }
});
