import { createRequire } from 'node:module';

/** Takes a lock and releases it. */
export type Turn = (key: string) => unknown;

/** Starts a variant: loads what it needs, connects, and answers with its {@link Turn}. */
export type Start = (address: string) => Promise<Turn>;

const require = createRequire(import.meta.url);

/** What every lock is asked for, in ms. */
const TTL = 10_000;

type Core = typeof import('@holdfast/core');
type RedisStore = typeof import('@holdfast/redis');
type MemcachedStore = typeof import('@holdfast/memcached');

/** How a service loads us. */
const LOADERS = {
  ESM: <T>(name: string): Promise<T> => import(name) as Promise<T>,
  CJS: async <T>(name: string): Promise<T> => require(name) as T,
};
type Format = keyof typeof LOADERS;

/** `options`: a new object per call, as routes and decorators pass one. */
const lockAndRelease =
  (locker: ReturnType<Core['createLocker']>, options: boolean): Turn =>
  async (key) => {
    const lock = await (options ? locker.lock(key, { ttl: TTL, wait: 5_000 }) : locker.lock(key));
    await lock.release();
  };

const onRedis =
  (format: Format, options = false): Start =>
  async (url) => {
    const load = LOADERS[format];
    const { createLocker } = await load<Core>('@holdfast/core');
    const { redisStore } = await load<RedisStore>('@holdfast/redis');
    const { Redis } = await load<typeof import('ioredis')>('ioredis');
    const client = new Redis(url);
    await client.ping();
    return lockAndRelease(createLocker({ store: redisStore(client), ttl: TTL }), options);
  };

const COMPARE_AND_DELETE = `
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
`;

/** The least that a lock on Redis is: no waiting, no renewal, no token. */
const rawRedis: Start = async (url) => {
  const { Redis } = await import('ioredis');
  const client = new Redis(url);
  const sha = (await client.script('LOAD', COMPARE_AND_DELETE)) as string;
  let count = 0;
  return async (key) => {
    const owner = `${process.pid}:${++count}`;
    await client.set(key, owner, 'PX', TTL, 'NX');
    await client.evalsha(sha, 1, key, owner);
  };
};

const verrou: Start = async (url) => {
  const { Verrou } = await import('@verrou/core');
  const { redisStore } = await import('@verrou/core/drivers/redis');
  const { Redis } = await import('ioredis');
  const connection = new Redis(url);
  await connection.ping();
  const driver = redisStore({ connection });
  const locks = new Verrou({ default: 'redis', stores: { redis: { driver } } });
  return async (key) => {
    const lock = locks.createLock(key, TTL);
    await lock.acquire();
    await lock.release();
  };
};

const redisSemaphore: Start = async (url) => {
  const { Mutex } = await import('redis-semaphore');
  const { Redis } = await import('ioredis');
  const client = new Redis(url);
  await client.ping();
  return async (key) => {
    const mutex = new Mutex(client, key, { lockTimeout: TTL });
    await mutex.acquire();
    await mutex.release();
  };
};

const redlock: Start = async (url) => {
  const { default: Redlock } = await import('redlock');
  const { Redis } = await import('ioredis');
  const client = new Redis(url);
  await client.ping();
  const locks = new Redlock([client]);
  return async (key) => {
    const lock = await locks.acquire([key], TTL);
    await lock.release();
  };
};

const onMemory =
  (format: Format, options = false): Start =>
  async () => {
    const { createLocker } = await LOADERS[format]<Core>('@holdfast/core');
    return lockAndRelease(createLocker(), options);
  };

const asyncMutex =
  (format: Format): Start =>
  async () => {
    const { Mutex } = await LOADERS[format]<typeof import('async-mutex')>('async-mutex');
    const mutexes = new Map<string, InstanceType<typeof Mutex>>();
    return async (key) => {
      let mutex = mutexes.get(key);
      if (mutex === undefined) mutexes.set(key, (mutex = new Mutex()));
      const release = await mutex.acquire();
      release();
    };
  };

const asyncLock: Start = async () => {
  const AsyncLock = require('async-lock') as typeof import('async-lock');
  // Its default limit is 1,000 tasks per key.
  const locks = new AsyncLock({ maxPending: 1_000_000 });
  const nothing = (): void => {};
  return (key) => locks.acquire(key, nothing);
};

const onMemcached =
  (format: Format, options = false): Start =>
  async (servers) => {
    const load = LOADERS[format];
    const { createLocker } = await load<Core>('@holdfast/core');
    const { memcachedStore } = await load<MemcachedStore>('@holdfast/memcached');
    const { Client } = require('memjs') as typeof import('memjs');
    const store = memcachedStore(Client.create(servers));
    return lockAndRelease(createLocker({ store, ttl: TTL }), options);
  };

/** No owner, no token, no renewal: a slow holder deletes the next one's item. */
const rawMemjs: Start = async (servers) => {
  const { Client } = require('memjs') as typeof import('memjs');
  const client = Client.create(servers);
  return async (key) => {
    await client.add(key, 'owner', { expires: 11 });
    await client.delete(key);
  };
};

/** Ours in the way in which most services load and call it, and the others. */
export const variants = {
  redis: {
    'holdfast (ESM)': onRedis('ESM'),
    'holdfast (ESM), options': onRedis('ESM', true),
    'holdfast (CJS)': onRedis('CJS'),
    'holdfast (CJS), options': onRedis('CJS', true),
    'raw ioredis': rawRedis,
    verrou,
    'redis-semaphore': redisSemaphore,
    'redlock 5': redlock,
  },
  memory: {
    'holdfast (ESM)': onMemory('ESM'),
    'holdfast (ESM), options': onMemory('ESM', true),
    'holdfast (CJS)': onMemory('CJS'),
    'holdfast (CJS), options': onMemory('CJS', true),
    'async-mutex (CJS)': asyncMutex('CJS'),
    'async-mutex (ESM)': asyncMutex('ESM'),
    'async-lock': asyncLock,
  },
  memcached: {
    'holdfast (ESM)': onMemcached('ESM'),
    'holdfast (ESM), options': onMemcached('ESM', true),
    'holdfast (CJS)': onMemcached('CJS'),
    'raw memjs': rawMemjs,
  },
} satisfies Record<string, Record<string, Start>>;

export type Store = keyof typeof variants;
