import { redisStore } from '@holdfast/redis';
import { redisBinary, redisCommand, startRedis, type TestServer } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { capabilities } from './kit.ts';
import { clientOf } from './quorum-kit.ts';

describe.concurrent('a primary whose replica must have each grant', () => {
  let servers: TestServer[] = [];
  let client: Redis | undefined;
  beforeAll(async () => {
    const primary = await startRedis(redisBinary(), { args: ['--repl-diskless-sync-delay', '0'] });
    const args = ['--replicaof', primary.host, String(primary.port)];
    const replica = await startRedis(redisBinary(), { args });
    servers = [primary, replica];
    const state = (): Promise<string> => redisCommand(replica, 'INFO', 'replication');
    await vi.waitFor(async () => expect(await state()).toContain('master_link_status:up'), 30_000);
    client = clientOf(primary);
  });
  afterAll(async () => {
    client?.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  });
  const createStore = () =>
    redisStore(client as Redis, { durability: { minReplicas: 1, timeout: 10_000 } });
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, { timeout: 30_000 }, run);
  }
});
