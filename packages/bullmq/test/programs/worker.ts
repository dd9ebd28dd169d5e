// A worker in a process of its own, to be killed. It tells what it does in a list of Redis.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { guard, type GuardOptions, type OrderOptions } from '@holdfast/bullmq';
import { redisStore } from '@holdfast/redis';
import { Queue, Worker, type WorkerOptions } from 'bullmq';
import { Redis } from 'ioredis';

export interface Instructions {
  readonly url: string;
  readonly name: string;
  readonly guard: Partial<GuardOptions>;
  readonly worker: Partial<WorkerOptions>;
  readonly ordered: boolean;
  /** How long a job takes, in ms. */
  readonly ms: number;
  /** The process kills itself at the so many-th of the moments before and after a request for the order. */
  readonly dieAt?: number;
}

const told = JSON.parse(process.argv[2] ?? '') as Instructions;
const redis = new Redis(told.url, { maxRetriesPerRequest: null });
const connection = { host: redis.options.host ?? '', port: redis.options.port ?? 0 };
const queue = new Queue(told.name, { connection });
let moments = 0;

function moment(): void {
  moments += 1;
  if (moments !== told.dieAt) return;
  process.kill(process.pid, 'SIGKILL');
  for (;;);
}

async function around<T>(request: () => Promise<T>): Promise<T> {
  moment();
  const answer = await request();
  moment();
  return answer;
}

const order: OrderOptions = {
  queue,
  redis: {
    evalsha: (...args) => around(() => redis.evalsha(...args)),
    eval: (...args) => around(() => redis.eval(...args)),
  },
};

const processor = guard(
  {
    ...told.guard,
    locker: createLocker({ store: redisStore(redis) }),
    key: told.name,
    ...(told.ordered ? { order } : {}),
  },
  async (job, _token, _signal, lock) => {
    const tell = (what: string) =>
      redis.rpush(
        `${told.name}:log`,
        `${what} ${(job.data as { n: number }).n} ${lock.fencingToken}`,
      );
    await tell('begin');
    await sleep(told.ms);
    await tell('end');
  },
);
new Worker(told.name, processor, { connection, ...told.worker }).on('error', () => {});
