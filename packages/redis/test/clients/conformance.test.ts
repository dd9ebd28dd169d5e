import { redisStore, type AnyRedisClient, type AnyRedisCluster } from '@holdfast/redis';
import {
  redisBinary,
  startRedis,
  startRedisCluster,
  startRedisSentinel,
} from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { capabilities } from '../kit.ts';
import { clientKind, type MadeClient } from './index.ts';

// The same suite as over ioredis, over a client of another library.

interface Started {
  readonly server: { stop(): unknown };
  readonly made: MadeClient<AnyRedisClient | AnyRedisCluster>;
}

const ways: Record<string, () => Promise<Started>> = {
  'one server': async () => {
    const server = await startRedis(redisBinary());
    return { server, made: await clientKind.single({ host: server.host, port: server.port }) };
  },
  'a cluster': async () => {
    const server = await startRedisCluster(redisBinary());
    return { server, made: await clientKind.cluster({ nodes: server.masters }) };
  },
  'behind a Sentinel': async () => {
    const server = await startRedisSentinel(redisBinary());
    const { host, port, name } = server;
    return { server, made: await clientKind.sentinel({ host, port, name }) };
  },
};

for (const [way, start] of Object.entries(ways)) {
  const cannot = way.includes('Sentinel') && 'Sentinel with passwords on both' in clientKind.cannot;
  describe.skipIf(cannot).concurrent(`${clientKind.name}: ${way}`, () => {
    let started: Started | undefined;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(async () => {
      await started?.made.close();
      await started?.server.stop();
    });
    const createStore = () => redisStore((started as Started).made.client);
    for (const { name, run } of storeConformance({ createStore, capabilities })) {
      test(name, { timeout: 30_000 }, run);
    }
  });
}
