import { createLocker, type Locker, type LockerOptions } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { gate, useRedis, type Gate } from '@holdfast/test-servers';
import {
  Queue,
  QueueEvents,
  Worker,
  type Job,
  type JobsOptions,
  type Processor,
  type WorkerOptions,
} from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, expect, vi } from 'vitest';

// Machines may be slow: a test that fails does not take its time, and one that passes need not hurry.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** The version of BullMQ that the tests run on, if it is not the package's: see the root's vitest.config.ts. */
export const onBullmq = process.env['ON_BULLMQ'];

export interface Data {
  readonly key: string;
  readonly n?: number;
}
export type TestJob = Job<Data, unknown>;

/** Waits for a state, however slow the machine is. */
export async function until(reached: () => unknown): Promise<void> {
  await expect.poll(reached, { timeout: 30_000, interval: 5 }).toBeTruthy();
}

export { gate, type Gate };

/** Jobs as they run: in which order, and how many at once. */
export class Log {
  readonly begun: number[] = [];
  readonly ended: number[] = [];
  /** Pairs of runs of one key at the same time. */
  readonly overlaps: string[] = [];
  private readonly running = new Map<string, number>();

  begin({ key, n = 0 }: Data): () => void {
    const others = this.running.get(key) ?? 0;
    if (others > 0) this.overlaps.push(`${key} ${n}`);
    this.running.set(key, others + 1);
    this.begun.push(n);
    return () => {
      this.running.set(key, (this.running.get(key) ?? 0) - 1);
      this.ended.push(n);
    };
  }
}

let queues = 0;

/** Queues, workers and lockers on the Redis of a test file, which end with the test that made them. */
export class Site {
  readonly redis = useRedis();
  private readonly endings: (() => unknown)[] = [];
  private readonly gates: Gate[] = [];

  constructor() {
    afterEach(async () => {
      for (const made of this.gates.splice(0)) made.open();
      for (const ending of this.endings.splice(0)) await ending();
    });
  }

  get connection(): { host: string; port: number; maxRetriesPerRequest: null } {
    const { hostname: host, port } = new URL(this.redis.url);
    return { host, port: Number(port), maxRetriesPerRequest: null };
  }

  atEnd(ending: () => unknown): void {
    this.endings.unshift(ending);
  }

  /** A gate for jobs to wait at. It opens at the end, so that a test that fails leaves no job behind. */
  gate(): Gate {
    const made = gate();
    this.gates.push(made);
    return made;
  }

  client(): Redis {
    const client = new Redis(this.redis.url);
    client.on('error', () => {});
    this.atEnd(() => client.disconnect());
    return client;
  }

  locker(options: LockerOptions = {}): Locker {
    const locker = createLocker({ store: redisStore(this.client()), ...options });
    this.atEnd(() => locker.close());
    return locker;
  }

  /** A locker, and a gate that opens when it first waits for a key. */
  waitingLocker(): { locker: Locker; waiting: Gate } {
    const locker = this.locker();
    const waiting = gate();
    locker.on('waiting', () => waiting.open());
    return { locker, waiting };
  }

  /** A queue of a name of its own. */
  queue(name = `queue-${process.pid}-${++queues}`): Queue<Data> {
    const queue = new Queue<Data>(name, { connection: this.connection });
    this.atEnd(() => queue.close());
    return queue;
  }

  worker(
    queue: Queue<Data>,
    processor: Processor | string,
    options: Partial<WorkerOptions> = {},
  ): Worker {
    const { connection } = this;
    const worker = new Worker(queue.name, processor, { connection, drainDelay: 1, ...options });
    worker.on('error', () => {});
    this.atEnd(() => worker.close());
    return worker;
  }

  async events(queue: Queue): Promise<QueueEvents> {
    const events = new QueueEvents(queue.name, { connection: this.connection });
    await events.waitUntilReady();
    this.atEnd(() => events.close());
    return events;
  }
}

export async function add(
  queue: Queue<Data>,
  data: Data,
  options: JobsOptions = {},
): Promise<TestJob> {
  return (await queue.add('work', data, options)) as TestJob;
}

/** Adds so many jobs of one key, one after the other. */
export async function addMany(queue: Queue<Data>, count: number, key = 'k'): Promise<void> {
  for (let n = 1; n <= count; n++) await add(queue, { key, n });
}

export async function completed(queue: Queue<Data>, count: number): Promise<void> {
  await until(async () => (await queue.getCompletedCount()) >= count);
}

/** The jobs of a queue as they are now. */
export async function jobsOf(queue: Queue<Data>): Promise<readonly TestJob[]> {
  return (await queue.getJobs()) as TestJob[];
}

export async function jobNow(queue: Queue<Data>, { id }: { id?: string }): Promise<TestJob> {
  const job = await queue.getJob(id as string);
  if (job === undefined) throw new Error('The job is gone.');
  return job as TestJob;
}

export const range = (to: number): number[] => Array.from({ length: to }, (_, index) => index + 1);

/** What guards keep for the order of a queue. */
export async function traces(client: Redis, queue: Queue<Data>): Promise<string[]> {
  return client.keys(`${queue.toKey('holdfast:')}*`);
}
