import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Redis } from 'ioredis';
import { afterAll, describe, test } from 'vitest';
import { capabilities } from './kit.ts';

const server = useRedis();

const ways: Record<string, { db?: number; keyPrefix?: string; enableAutoPipelining?: true }> = {
  'one server': {},
  'a database other than 0': { db: 3 },
  'a key prefix': { keyPrefix: 'my {app}: ' },
  'automatic pipelining': { enableAutoPipelining: true },
};

describe.concurrent.each(Object.entries(ways))('%s', (_, options) => {
  let client: Redis | undefined;
  const createStore = () => redisStore((client ??= new Redis(server.url, options)));
  afterAll(() => client?.disconnect());
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, { timeout: 30_000 }, run);
  }
});
