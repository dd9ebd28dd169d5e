import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Redis } from 'ioredis';
import { afterAll, describe, test } from 'vitest';

const server = useRedis();

describe('one server', () => {
  let client: Redis | undefined;
  const createStore = () => redisStore((client ??= new Redis(server.url)));
  afterAll(() => client?.disconnect());
  for (const { name, run } of storeConformance({ createStore })) test(name, run);
});
