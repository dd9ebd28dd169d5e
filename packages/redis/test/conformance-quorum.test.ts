import { redisQuorum } from '@holdfast/redis';
import { redisBinary, startRedis, type TestServer } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { clientsOf, quorumCapabilities, type ClientOptions } from './quorum-kit.ts';

type Fault = (server: TestServer) => unknown;

interface Way {
  readonly size: number;
  readonly faults: readonly Fault[];
  readonly options?: ClientOptions;
}

const ways: Record<string, Way> = {
  '3 of 3 servers': { size: 3, faults: [] },
  '3 of 3 servers, with a key prefix and automatic pipelining': {
    size: 3,
    faults: [],
    options: { keyPrefix: 'my {app}: ', enableAutoPipelining: true },
  },
  '2 of 3 servers, one dead': { size: 3, faults: [(server) => server.kill()] },
  '2 of 3 servers, one frozen': { size: 3, faults: [(server) => server.freeze()] },
  '3 of 5 servers, one dead, one frozen': {
    size: 5,
    faults: [(server) => server.kill(), (server) => server.freeze()],
  },
};

describe.concurrent.each(Object.entries(ways))('%s', (_, { size, faults, options }) => {
  let servers: TestServer[] = [];
  let clients: Redis[] = [];
  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: size }, () => startRedis(redisBinary())));
    clients = await clientsOf(servers, options);
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
