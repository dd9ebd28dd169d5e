import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedisSentinel, type TestSentinel } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { capabilities } from './kit.ts';

let sentinel: TestSentinel | undefined;
beforeAll(async () => {
  sentinel = await startRedisSentinel(redisBinary());
}, 40_000);
afterAll(() => sentinel?.stop());

describe.concurrent('behind a Sentinel', () => {
  let client: Redis | undefined;
  const createStore = () => {
    const { host = '', port = 0, name = '' } = sentinel ?? {};
    return redisStore((client ??= new Redis({ sentinels: [{ host, port }], name })));
  };
  afterAll(() => client?.disconnect());
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, { timeout: 30_000 }, run);
  }
});
