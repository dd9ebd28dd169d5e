import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { Mutex } from 'redis-semaphore';
import Redlock from 'redlock';
import { createLock, IoredisAdapter } from 'redlock-universal';
import { TTL } from './peers.ts';

/** Takes keys and keeps them renewed until the process ends. */
interface Holder {
  readonly hold: (key: string) => Promise<unknown>;
}

const never = new Promise<never>(() => {});

/** Those that renew by themselves. They hold through the one way in which each does. */
export const holders: Record<string, (url: string) => Holder> = {
  holdfast: (url) => {
    const locker = createLocker({ store: redisStore(new Redis(url)), ttl: TTL });
    // As the others do: who has lost a lock has no figures.
    locker.on('lost', ({ key }) => {
      console.error(`'${key}' was lost.`);
      process.exit(1);
    });
    return { hold: (key) => locker.lock(key) };
  },
  'redlock 5': (url) => {
    const locks = new Redlock([new Redis(url)], { automaticExtensionThreshold: TTL / 3 });
    const using = (key: string, held: () => void): unknown =>
      locks.using([key], TTL, () => (held(), never));
    return { hold: (key) => new Promise<void>((held) => void using(key, held)) };
  },
  'redlock-universal': (url) => {
    const adapter = new IoredisAdapter(new Redis(url));
    const using = (key: string, held: () => void): unknown =>
      createLock({ adapter, key, ttl: TTL }).using(() => (held(), never));
    return { hold: (key) => new Promise<void>((held) => void using(key, held)) };
  },
  'redis-semaphore': (url) => {
    const client = new Redis(url);
    return { hold: (key) => new Mutex(client, key, { lockTimeout: TTL }).acquire() };
  },
};

/** Whoever drops the handle of a lock has it renewed no more. */
const kept: unknown[] = [];

/** Holds so many keys of this process, some hundred at a time, until it ends. */
export async function holdMany(hold: Holder['hold'], count: number): Promise<void> {
  for (let from = 0; from < count; from += 500) {
    const length = Math.min(500, count - from);
    const more = Array.from({ length }, (_, index) => hold(`key:${process.pid}:${from + index}`));
    kept.push(...(await Promise.all(more)));
  }
}
