import { setTimeout as sleep } from 'node:timers/promises';
import { guard, type GuardOptions } from '@holdfast/bullmq';
import type { Job, Queue } from 'bullmq';
import {
  add,
  jobsOf,
  Log,
  Site,
  traces as tracesOf,
  until,
  type Data,
  type Gate,
} from './index.ts';

const keyOf = (job: { data: { key: string } }): string => job.data.key;

/** Long enough that nothing in a test happens because of it. */
export const NEVER = 3_600_000;

export function logging(log: Log, ms = 0) {
  return async (job: Job<Data>): Promise<void> => {
    const end = log.begin(job.data);
    await sleep(ms);
    end();
  };
}

export async function startsOf(queue: Queue<Data>): Promise<number> {
  const jobs = await jobsOf(queue);
  return jobs.reduce((sum, job) => sum + job.attemptsStarted, 0) / jobs.length;
}

export const parked = (queue: Queue<Data>, count: number): Promise<void> =>
  until(async () => (await queue.getDelayedCount()) === count);

/** The guard has looked again after it parked jobs. */
export const settled = (): Promise<void> => sleep(100);

/** A site whose guards keep jobs in order. */
export class OrderedSite extends Site {
  options(queue: Queue<Data>, more: Partial<GuardOptions<Data>> = {}): GuardOptions<Data> {
    const order = { queue, redis: this.client() };
    return { locker: this.locker(), key: keyOf, order, delay: NEVER, ...more };
  }

  /** What guards keep in Redis for a queue. */
  traces(queue: Queue<Data>): Promise<string[]> {
    return tracesOf(this.client(), queue);
  }

  /** What they keep of a job. */
  async entry(queue: Queue<Data>, id: string): Promise<{ readonly woken?: number } | undefined> {
    const entry = await this.client().hget(queue.toKey('holdfast:jobs'), id);
    return entry === null ? undefined : (JSON.parse(entry) as { woken?: number });
  }

  /** Waits until the first of a line would start by itself later than before, so many times. */
  async lookedAfter(queue: Queue<Data>, times: number): Promise<void> {
    const client = this.client();
    const due = async (): Promise<number> =>
      Number((await client.zrange(queue.toKey('delayed'), '0', '0', 'WITHSCORES'))[1]);
    for (let time = 0; time < times; time++) {
      const before = await due();
      await until(async () => (await due()) > before);
    }
  }

  /** A worker whose jobs run until the test says so, and a job of it that runs. */
  async heldWorker(
    queue: Queue<Data>,
    more: Partial<GuardOptions<Data>> = {},
  ): Promise<{ log: Log; end: Gate }> {
    const log = new Log();
    const [started, end] = [this.gate(), this.gate()];
    this.worker(
      queue,
      guard(this.options(queue, more), async (job) => {
        const done = log.begin(job.data);
        started.open();
        await end.opened;
        done();
      }),
      { concurrency: 2 },
    );
    await add(queue, { key: 'k', n: 0 });
    await started.opened;
    return { log, end };
  }
}
