import { createLocker } from '@holdfast/core';
import { redisQuorum, redisStore, type RedisClient } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, test } from 'vitest';
import { Bench, capabilities } from './kit.ts';

const server = useRedis();
const bench = new Bench(() => server.url);

/** A client that answers with Buffers in the place of texts. */
function withBuffers(client: ReturnType<Bench['client']>): RedisClient {
  const toBuffers = (answer: unknown): unknown => {
    if (typeof answer === 'string') return Buffer.from(answer);
    return Array.isArray(answer) ? answer.map(toBuffers) : answer;
  };
  const wrapped = Object.create(client) as typeof client;
  for (const name of ['eval', 'evalsha', 'call'] as const) {
    const plain = client[name].bind(client) as (...words: unknown[]) => Promise<unknown>;
    Object.assign(wrapped, {
      [name]: async (...words: unknown[]) => toBuffers(await plain(...words)),
    });
  }
  return wrapped;
}

const clients: Record<string, () => RedisClient> = {
  'numbers as texts': () => bench.client({ stringNumbers: true }),
  'texts as Buffers': () => withBuffers(bench.client()),
  both: () => withBuffers(bench.client({ stringNumbers: true })),
};

describe.each(Object.entries(clients))('a client that decodes %s', (_, make) => {
  test('gives tokens that are numbers, and all else as ever', async () => {
    const locker = createLocker({
      store: redisStore(make()),
      namespace: `decoding-${Math.random()}`,
    });
    bench.onEnd(() => locker.close());
    const locks = await Promise.all(['a', 'b', 'c'].map((key) => locker.lock(key)));
    for (const lock of locks) expect(lock.fencingToken).toSatisfy(Number.isSafeInteger);
    const [lock] = locks as [(typeof locks)[0]];
    await lock.extend();
    expect(await locker.inspect('a')).toMatchObject({
      owner: lock.owner,
      fencingToken: lock.fencingToken,
      remaining: expect.any(Number) as unknown,
      waiters: 0,
    });
    expect(await locker.tryLock('a')).toBeNull();
    expect(await lock.release()).toBe(true);
    expect(await locker.forceRelease('b')).toBe(true);
    expect(await locker.forceRelease('a')).toBe(false);
    await locker.close();
  });

  test('works in a quorum', async () => {
    const store = redisQuorum([make()] as never);
    const locker = createLocker({ store, namespace: `decoding-${Math.random()}` });
    bench.onEnd(() => locker.close());
    const lock = await locker.lock('a');
    await lock.extend();
    expect(await locker.tryLock('a')).toBeNull();
    expect(await locker.inspect('a')).toMatchObject({ owner: lock.owner });
    expect(await lock.release()).toBe(true);
  });
});

describe.concurrent('a store whose client tells numbers as texts', () => {
  let client: Redis | undefined;
  const createStore = () => {
    client ??= new Redis(server.url, { stringNumbers: true });
    return redisStore(client);
  };
  afterAll(() => client?.disconnect());
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, { timeout: 30_000 }, run);
  }
});
