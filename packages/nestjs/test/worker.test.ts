import { useRedis } from '@holdfast/test-servers';
import { currentLock, WithLock } from '@holdfast/nestjs';
import type { Locker } from '@holdfast/core';
import { BullModule, getQueueToken, Processor, WorkerHost } from '@nestjs/bullmq';
import type { TestingModule } from '@nestjs/testing';
import { QueueEvents, type Job, type Queue } from 'bullmq';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, atEnd, compile, isFree, until, Work } from './kit/index.ts';

interface Payment {
  readonly account: string;
}

let locker: Locker;
let work: Work;
let seen: unknown[];
let cancelled: Promise<unknown> | undefined;

beforeEach(() => {
  locker = aLocker();
  work = new Work();
  seen = [];
  cancelled = undefined;
});

@Processor('payments', { concurrency: 4 })
class Payments extends WorkerHost {
  @WithLock((job: Job<Payment>) => `account:${job.data.account}`)
  override async process(
    job: Job<Payment>,
    token?: string,
    signal?: AbortSignal,
  ): Promise<unknown> {
    seen.push([typeof token, signal instanceof AbortSignal, currentLock()?.key]);
    if (job.name === 'cancelled') {
      const aborted = new Promise((_, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('cancelled')));
      });
      cancelled = aborted.catch(() => currentLock()?.key);
      return aborted;
    }
    return work.run(job.name);
  }
}

describe('a worker of BullMQ', () => {
  const redis = useRedis();

  async function boot(): Promise<{ module: TestingModule; queue: Queue; events: QueueEvents }> {
    const connection = { url: redis.url };
    const module = await compile(locker, {
      imports: [BullModule.forRoot({ connection }), BullModule.registerQueue({ name: 'payments' })],
      providers: [Payments],
    });
    const events = new QueueEvents('payments', { connection });
    await events.waitUntilReady();
    atEnd(() => events.close());
    return { module, queue: module.get<Queue>(getQueueToken('payments')), events };
  }

  test('a worker of BullMQ is locked by the data of its jobs, and gets their token and signal', async () => {
    expect(Reflect.get(Payments.prototype, 'process')).toHaveLength(3);
    const { queue, events } = await boot();
    const jobs = await Promise.all(['a', 'b'].map((name) => queue.add(name, { account: '1' })));
    await until(() => work.begun.length === 1);
    const [first] = work.begun as [string];
    for (const name of ['a', 'b']) work.end(name);
    await expect(Promise.all(jobs.map((job) => job.waitUntilFinished(events)))).resolves.toEqual([
      'a',
      'b',
    ]);
    expect(work.most).toBe(1);
    expect(first).toBe('a');
    expect(seen).toEqual([
      ['string', true, 'account:1'],
      ['string', true, 'account:1'],
    ]);
    await expect(isFree(locker, 'account:1')).resolves.toBe(true);
  });

  test('a worker of BullMQ learns that its job is cancelled, and its lock is free then', async () => {
    const { module, queue } = await boot();
    const job = await queue.add('cancelled', { account: '2' });
    await until(() => cancelled !== undefined);
    module.get(Payments).worker.cancelJob(job.id as string);
    await expect(cancelled).resolves.toBe('account:2');
    await until(() => isFree(locker, 'account:2'));
  });
});
