import { createRequire } from 'node:module';
import { createLocker, memoryStore, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { Semaphore } from 'redis-semaphore';

// Its build for CommonJS, which is twice as fast as its ES module.
const { Semaphore: InProcess } = createRequire(import.meta.url)(
  'async-mutex',
) as typeof import('async-mutex');

/** Ends what was taken. */
type Release = () => unknown;

/** Takes a permit, waiting for as long as it takes. */
export type Take = () => Promise<Release>;

/** What every permit is asked for, in ms: long enough that none runs out. */
const TTL = 10_000;

function permitsOf(locker: Locker, limit: number): Take {
  return async () => {
    const lock = await locker.lock('permits', { limit });
    return () => lock.release();
  };
}

/** Of so many permits; each call makes what one process has. */
export const variants: Record<string, (limit: number, url: string) => Take> = {
  'holdfast, memory': (limit) => permitsOf(createLocker({ store: memoryStore() }), limit),
  'async-mutex': (limit) => {
    const semaphore = new InProcess(limit);
    return async () => {
      const [, release] = await semaphore.acquire();
      return release;
    };
  },
  'holdfast, Redis': (limit, url) =>
    permitsOf(createLocker({ store: redisStore(new Redis(url)), ttl: TTL }), limit),
  // Objects of its are for one permit each.
  'redis-semaphore': (limit, url) => {
    const client = new Redis(url);
    const options = { lockTimeout: TTL, acquireTimeout: 600_000 };
    return async () => {
      const semaphore = new Semaphore(client, 'permits', limit, options);
      await semaphore.acquire();
      return () => semaphore.release();
    };
  },
};

export const IN_PROCESS = ['holdfast, memory', 'async-mutex'] as const;
export const ON_REDIS = ['holdfast, Redis', 'redis-semaphore'] as const;
