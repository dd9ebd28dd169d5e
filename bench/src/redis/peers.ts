import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Verrou } from '@verrou/core';
import { redisStore as verrouStore } from '@verrou/core/drivers/redis';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { Mutex } from 'redis-semaphore';
import Redlock from 'redlock';
import { createLock, IoredisAdapter } from 'redlock-universal';
import { lock as simpleLock } from 'simple-redis-mutex';

/** Ends what was taken. */
type Release = () => Promise<unknown>;

/** Takes a key, waiting for as long as it takes. */
export type Take = (key: string) => Promise<Release>;

/** What every lock is asked for, in ms: long enough that nobody's runs out. */
export const TTL = 10_000;

/** @param max how often a lock is passed on within a process before another one has its turn */
const holdfast = (max?: number) => async (url: string) => {
  const store = redisStore(new Redis(url));
  const locker = createLocker({ store, ttl: TTL, ...(max !== undefined && { handoff: { max } }) });
  return async (key: string) => {
    const lock = await locker.lock(key);
    return () => lock.release();
  };
};

export const COMPARE_AND_DELETE = `
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
`;

/** What a lock is at the least: no waiting, no renewal, no token. */
async function raw(url: string): Promise<Take> {
  const client = new Redis(url);
  const sha = (await client.script('LOAD', COMPARE_AND_DELETE)) as string;
  let count = 0;
  return async (key) => {
    const owner = `${process.pid}:${++count}`;
    await client.set(key, owner, 'PX', TTL, 'NX');
    return () => client.evalsha(sha, 1, key, owner);
  };
}

/** `retry`: ms between two attempts, in place of the default. */
const redlock = (retry?: number) => async (url: string) => {
  const settings = retry === undefined ? {} : { retryDelay: retry, retryJitter: retry };
  const locks = new Redlock([new Redis(url)], { retryCount: -1, ...settings });
  return async (key: string) => {
    const lock = await locks.acquire([key], TTL);
    return () => lock.release();
  };
};

const redlockUniversal = (retry?: number) => async (url: string) => {
  const adapter = new IoredisAdapter(new Redis(url));
  const settings = retry === undefined ? {} : { retryDelay: retry };
  return async (key: string) => {
    const lock = createLock({ adapter, key, ttl: TTL, retryAttempts: 1e6, ...settings });
    const handle = await lock.acquire();
    return () => lock.release(handle);
  };
};

const semaphore = (retry?: number) => async (url: string) => {
  const client = new Redis(url);
  const settings = retry === undefined ? {} : { retryInterval: retry };
  const options = { lockTimeout: TTL, acquireTimeout: 600_000, ...settings };
  return async (key: string) => {
    const mutex = new Mutex(client, key, options);
    await mutex.acquire();
    return () => mutex.release();
  };
};

const verrou = (retry?: number) => async (url: string) => {
  const driver = verrouStore({ connection: new Redis(url) });
  const factory = new Verrou({ default: 'redis', stores: { redis: { driver } } });
  const settings = retry === undefined ? {} : { retry: { delay: retry } };
  return async (key: string) => {
    const lock = factory.createLock(key, TTL);
    await lock.acquire(settings);
    return () => lock.release();
  };
};

/** It is woken by messages; `retry` only matters when they are lost. */
async function simpleRedisMutex(url: string): Promise<Take> {
  const client = createClient({ url });
  await client.connect();
  return (key) => simpleLock(client as never, key, { timeout: TTL });
}

const FAST = 5;

/** What a turn of 128 hand-offs, the default, costs beside one of 1,000. */
export const LONG_TURNS = 'holdfast, 1,000 a turn';

export const variants: Record<string, (url: string) => Promise<Take>> = {
  holdfast: holdfast(),
  [LONG_TURNS]: holdfast(1_000),
  'raw ioredis': raw,
  'redlock 5': redlock(),
  'redlock 5, fast': redlock(FAST),
  'redlock-universal': redlockUniversal(),
  'redlock-universal, fast': redlockUniversal(FAST),
  'redis-semaphore': semaphore(),
  'redis-semaphore, fast': semaphore(FAST),
  verrou: verrou(),
  'verrou, fast': verrou(FAST),
  'simple-redis-mutex': simpleRedisMutex,
};
