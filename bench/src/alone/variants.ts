import { createRequire } from 'node:module';
import { redisSteps, TTL } from './steps.ts';

/** Takes a lock and releases it. */
export interface Turn {
  (key: string): unknown;
  /** Takes a lock and keeps it, where that is measured. */
  readonly hold?: (key: string) => Promise<unknown>;
}

/** Starts a variant: loads what it needs, connects, and answers with its {@link Turn}. */
export type Start = (address: string) => Promise<Turn>;

const require = createRequire(import.meta.url);

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
function lockAndRelease(locker: ReturnType<Core['createLocker']>, options: boolean): Turn {
  const take = (key: string) =>
    options ? locker.lock(key, { ttl: TTL, wait: 5_000 }) : locker.lock(key);
  const turn = async (key: string): Promise<void> => {
    const lock = await take(key);
    await lock.release();
  };
  return Object.assign(turn, { hold: take });
}

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

/** But for what its looks at the clocks cost. */
const withoutClocks: Start = async () => {
  const { createLocker, systemClock } = await LOADERS.ESM<Core>('@holdfast/core');
  const now = performance.now();
  const wallNow = Date.now();
  const clock = { ...systemClock, now: () => now, wallNow: () => wallNow };
  return lockAndRelease(createLocker({ clock }), false);
};

/** As most call it: with work that is done meanwhile. */
const withLock =
  (format: Format): Start =>
  async () => {
    const { createLocker } = await LOADERS[format]<Core>('@holdfast/core');
    const locker = createLocker();
    const turn = (key: string) => locker.withLock(key, nothing);
    return Object.assign(turn, { hold: (key: string) => locker.lock(key) });
  };

async function nothing(): Promise<void> {}

const asyncMutex =
  (format: Format, run = false): Start =>
  async () => {
    const { Mutex } = await LOADERS[format]<typeof import('async-mutex')>('async-mutex');
    const mutexes = new Map<string, InstanceType<typeof Mutex>>();
    const mutexOf = (key: string): InstanceType<typeof Mutex> => {
      let mutex = mutexes.get(key);
      if (mutex === undefined) mutexes.set(key, (mutex = new Mutex()));
      return mutex;
    };
    const hold = (key: string) => mutexOf(key).acquire();
    const turn = async (key: string): Promise<void> => {
      const release = await mutexOf(key).acquire();
      release();
    };
    const inside = (key: string) => mutexOf(key).runExclusive(nothing);
    return Object.assign(run ? inside : turn, { hold });
  };

const asyncLock: Start = async () => {
  const AsyncLock = require('async-lock') as typeof import('async-lock');
  // Its default limit is 1,000 tasks per key.
  const locks = new AsyncLock({ maxPending: 1_000_000 });
  const none = (): void => {};
  const turn = (key: string) => locks.acquire(key, none);
  const hold = (key: string) =>
    new Promise<unknown>((held) => void locks.acquire(key, (done: unknown) => held(done)));
  return Object.assign(turn, { hold });
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
    ...redisSteps,
    verrou,
    'redis-semaphore': redisSemaphore,
    'redlock 5': redlock,
  },
  memory: {
    'holdfast (ESM)': onMemory('ESM'),
    'holdfast (ESM), options': onMemory('ESM', true),
    'holdfast (CJS)': onMemory('CJS'),
    'holdfast (CJS), options': onMemory('CJS', true),
    'holdfast (ESM), withLock': withLock('ESM'),
    'holdfast (CJS), withLock': withLock('CJS'),
    'holdfast (ESM), no clock': withoutClocks,
    'async-mutex (CJS)': asyncMutex('CJS'),
    'async-mutex (ESM)': asyncMutex('ESM'),
    'async-mutex (CJS), runExclusive': asyncMutex('CJS', true),
    'async-lock': asyncLock,
  },
  memcached: {
    'holdfast (ESM)': onMemcached('ESM'),
    'holdfast (ESM), options': onMemcached('ESM', true),
    'holdfast (CJS)': onMemcached('CJS'),
    'holdfast (CJS), options': onMemcached('CJS', true),
    'raw memjs': rawMemjs,
  },
} satisfies Record<string, Record<string, Start>>;

export type Store = keyof typeof variants;
