import { redisQuorum } from '@holdfast/redis';
import { redisBinary, startRedis, type TestServer } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { clientsOf, quorumCapabilities } from './quorum-kit.ts';

type Fault = (server: TestServer) => unknown;

const ways: Record<string, { size: number; faults: readonly Fault[] }> = {
  '3 of 3 servers': { size: 3, faults: [] },
  '2 of 3 servers, one dead': { size: 3, faults: [(server) => server.kill()] },
  '2 of 3 servers, one frozen': { size: 3, faults: [(server) => server.freeze()] },
  '3 of 5 servers, one dead, one frozen': {
    size: 5,
    faults: [(server) => server.kill(), (server) => server.freeze()],
  },
};

describe.concurrent.each(Object.entries(ways))('%s', (_, { size, faults }) => {
  let servers: TestServer[] = [];
  let clients: Redis[] = [];
  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: size }, () => startRedis(redisBinary())));
    clients = await clientsOf(servers);
    for (const [index, fault] of faults.entries()) await fault(servers[index] as TestServer);
  });
  afterAll(async () => {
    for (const client of clients) client.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  });
  // A busy machine is not what these cases are about.
  const createStore = () => redisQuorum(clients, { nodeTimeout: 5_000 });
  for (const { name, run } of storeConformance({ createStore, capabilities: quorumCapabilities })) {
    test(name, { timeout: 30_000 }, run);
  }
});
