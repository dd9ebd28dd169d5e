import { guard } from '@holdfast/bullmq';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Queue, Worker, type Job } from 'bullmq';
import { Redis } from 'ioredis';
import { KEYS, type Service, type ServiceOptions } from '../protocol.ts';
import { work } from '../work.ts';

const QUEUES = ['plain', 'ordered'];

/** So many jobs of a queue are not done yet, at most. */
const BACKLOG = 40;

/** A worker with an order and one without; jobs are added by themselves, and some are removed. */
export async function startBullmq({ redisPort, leaks }: ServiceOptions): Promise<Service> {
  const connection = { host: '127.0.0.1', port: redisPort, maxRetriesPerRequest: null };
  const client = new Redis(redisPort, '127.0.0.1');
  const locker = createLocker({ store: redisStore(client) });
  const queues = QUEUES.map((name) => new Queue(name, { connection }));
  const workers = queues.map((queue) => {
    const order = queue.name === 'ordered' ? { queue, redis: client } : undefined;
    const key = (job: Job<{ key: string }>): string => job.data.key;
    const guarded = guard({ locker, key, order, delay: 50 }, () => work(leaks));
    const worker = new Worker(queue.name, guarded, { connection, concurrency: 5 });
    guarded.attach(worker);
    return worker.on('error', () => {});
  });
  const timer = setInterval(() => {
    for (const queue of queues) addTo(queue).catch(() => {});
  }, 25);
  return {
    stop: async () => {
      clearInterval(timer);
      for (const worker of workers) await worker.close();
      for (const queue of queues) await queue.close();
      await locker.close();
      client.disconnect();
    },
  };
}

async function addTo(queue: Queue): Promise<void> {
  const open = await queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized');
  if (open > BACKLOG) return;
  const key = `account:${Math.floor(Math.random() * KEYS)}`;
  const job = await queue.add('work', { key }, { removeOnComplete: true, removeOnFail: true });
  // It is not wanted any more, if it has not begun.
  if (Math.random() < 0.2) await job.remove();
}
