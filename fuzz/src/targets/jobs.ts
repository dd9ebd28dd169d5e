import { guard } from '@holdfast/bullmq';
import type { Key, Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { until } from '@holdfast/test-servers';
import { Queue, Worker, type Job, type JobsOptions } from 'bullmq';
import type { Random } from '../random.ts';
import { RedisSite } from '../redis-site.ts';
import type { Target, TargetKind } from '../target.ts';

interface Data {
  readonly key: Key;
}

/** Somebody who may add jobs: their data names the key. With and without an order. */
class Jobs implements Target {
  private readonly errors: string[] = [];
  private readonly over = new Set<string>();

  private constructor(
    private readonly site: RedisSite,
    private readonly locker: Locker,
    private readonly queues: readonly Queue[],
  ) {}

  static async start(): Promise<Target> {
    const site = await RedisSite.start();
    const { connection } = site;
    const queues = ['plain', 'ordered'].map((name) => {
      const queue = new Queue(name, { connection });
      site.onEnd(() => queue.close());
      return queue;
    });
    const target = new Jobs(site, site.locker(redisStore(site.client())), queues);
    for (const queue of queues) target.work(queue);
    return target;
  }

  async attack(random: Random): Promise<string | undefined> {
    const queue = random.pick(this.queues);
    const key = random.pick<() => unknown>([
      () => random.json(),
      () => random.text(),
      () => Array.from({ length: random.below(300) }, (_, index) => `${random.word()}${index}`),
      () => `key-${random.below(5)}`,
      () => ['key-1', 'key-2', random.json()],
    ])();
    const data = random.chance(0.8) ? { key } : random.json();
    const options: JobsOptions = random.chance(0.2) ? { priority: 1 + random.below(1_000) } : {};
    const job = await queue.add('work', data, options);
    return this.ends(queue, job);
  }

  async check(): Promise<string | undefined> {
    for (const queue of this.queues) {
      const job = await queue.add('work', { key: 'fine' });
      const problem = await this.ends(queue, job);
      if (problem !== undefined) return problem;
      if ((await job.getState()) !== 'completed') return 'an ordinary job did not complete';
    }
    await until('no lock is left of jobs that are over', () =>
      this.locker.list().then(
        ({ locks }) => locks.length === 0,
        // The machine is busy, and so is its Redis.
        () => false,
      ),
    );
    return this.errors.pop();
  }

  stop(): Promise<void> {
    return this.site.stop();
  }

  private work(queue: Queue): void {
    const { locker, site } = this;
    const order = queue.name === 'ordered' ? { queue, redis: site.client() } : undefined;
    const key = (job: Job<Data>): Key => job.data.key;
    const guarded = guard<Data>({ locker, key, order }, async (_job, _token, _signal, lock) => {
      lock.assertHeld();
    });
    const worker = new Worker(queue.name, guarded, {
      connection: site.connection,
      concurrency: 5,
      drainDelay: 1,
    });
    const ended = ({ id }: Job): void => void this.over.add(`${queue.name}:${id}`);
    worker.on('completed', ended);
    worker.on('failed', (job) => job !== undefined && ended(job));
    worker.on('error', (error) => this.errors.push(`the worker reported ${error.stack}`));
    site.onEnd(() => worker.close());
  }

  private async ends(queue: Queue, { id }: Job): Promise<string | undefined> {
    const name = `${queue.name}:${id}`;
    return until('a job ends', () => this.over.has(name)).then(
      () => undefined,
      (error: unknown) => String(error),
    );
  }
}

export const jobs: TargetKind = { name: 'jobs', share: 7, start: () => Jobs.start() };
