import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, type Locker } from '@holdfast/core';
import { guard, type OrderRedis } from '@holdfast/bullmq';
import { redisStore } from '@holdfast/redis';
import { DelayedError, type Job, type Processor, type Queue } from 'bullmq';
import type { Redis } from 'ioredis';

export interface Data {
  readonly key: string;
  readonly n: number;
}

/** What a worker of a variant is made from. */
export interface Parts {
  readonly queue: Queue<Data>;
  readonly redis: OrderRedis;
  /** One per worker, as in processes of their own. */
  readonly locker: Locker;
  readonly work: (job: Job<Data>) => Promise<void>;
}

/** Of deferrals, in ms, where nobody wakes a job. */
const DELAY = 100;

const key = (job: Job<Data>): string => job.data.key;

/** Ways to let one job per key run at a time, and none. */
export const variants = {
  'guard with order': ({ queue, redis, locker, work }) =>
    guard<Data>({ locker, key, order: { queue, redis } }, work),

  'guard without order': ({ locker, work }) => guard<Data>({ locker, key, delay: DELAY }, work),

  // As people write it by hand.
  'hand-written moveToDelayed': ({ locker, work }) => {
    return async (job, token) => {
      const lock = await locker.tryLock(job.data.key);
      if (lock === null) {
        await job.moveToDelayed(Date.now() + DELAY, token);
        throw new DelayedError();
      }
      try {
        await work(job);
      } finally {
        await lock.release();
      }
    };
  },

  'wait in the slot': ({ locker, work }) => {
    return (job) => locker.withLock(job.data.key, { reentry: 'ignore' }, () => work(job));
  },

  'plain BullMQ, no lock': ({ work }) => work,
} satisfies Record<string, (parts: Parts) => Processor<Data, void>>;

export type Variant = keyof typeof variants;

export function makeLocker(redis: Redis): Locker {
  return createLocker({ store: redisStore(redis) });
}

/** Counts the scripts of an order. */
export class CountedRedis implements OrderRedis {
  scripts = 0;

  constructor(private readonly redis: Redis) {}

  async evalsha(sha: string, keys: number, words: string[]): Promise<unknown> {
    this.scripts += 1;
    return this.redis.evalsha(sha, keys, words);
  }

  async eval(source: string, keys: number, words: string[]): Promise<unknown> {
    return this.redis.eval(source, keys, words);
  }
}

/** What a job does, and what is seen of it. */
export class Observer {
  readonly ended: Data[] = [];
  overlaps = 0;
  private readonly running = new Map<string, number>();

  constructor(private readonly ms: number) {}

  readonly work = async ({ data }: Job<Data>): Promise<void> => {
    const others = this.running.get(data.key) ?? 0;
    this.overlaps += others;
    this.running.set(data.key, others + 1);
    await sleep(this.ms);
    this.running.set(data.key, (this.running.get(data.key) ?? 1) - 1);
    this.ended.push(data);
  };

  /** The share of the pairs of jobs of one key that ended in another order than that of adding. */
  get inversions(): number {
    let inverted = 0;
    let pairs = 0;
    for (const [index, one] of this.ended.entries()) {
      for (const later of this.ended.slice(index + 1)) {
        if (later.key !== one.key) continue;
        pairs += 1;
        if (later.n < one.n) inverted += 1;
      }
    }
    return pairs === 0 ? 0 : inverted / pairs;
  }
}
