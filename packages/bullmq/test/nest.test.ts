// A guarded `WorkerHost` of @nestjs/bullmq.
import 'reflect-metadata';
import { LockAbortedError, type Locker } from '@holdfast/core';
import { guard } from '@holdfast/bullmq';
import { BullModule, getQueueToken, OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { Job, Queue } from 'bullmq';
import { expect, test } from 'vitest';
import { add, addMany, completed, gate, Log, range, Site, until, type Data } from './kit/index.ts';

const site = new Site();

@Injectable()
class Shared {
  constructor(
    readonly locker: Locker,
    readonly queue: Queue<Data>,
    readonly log: Log,
  ) {}
}

const started = gate();
let reason: unknown;

@Processor('payments', { concurrency: 4, lockRenewTime: 400 })
class Payments extends WorkerHost implements OnApplicationBootstrap {
  private readonly guarded;

  constructor(@Inject(Shared) private readonly shared: Shared) {
    super();
    const { locker, queue } = shared;
    const order = { queue, redis: site.client() };
    this.guarded = guard<Data>(
      { locker, key: (job) => job.data.key, order },
      async (job, _token, signal, lock) => this.pay(job, signal, lock.fencingToken),
    );
  }

  override process(job: Job<Data>, token?: string, signal?: AbortSignal): Promise<unknown> {
    return this.guarded(job, token, signal);
  }

  onApplicationBootstrap(): void {
    this.guarded.attach(this.worker);
  }

  // Without a listener it is printed.
  @OnWorkerEvent('error')
  onError(): void {}

  private async pay(job: Job<Data>, signal: AbortSignal, fence: number): Promise<number> {
    const end = this.shared.log.begin(job.data);
    if (job.data.key === 'hangs') {
      started.open();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      reason = signal.reason;
    }
    end();
    return fence;
  }
}

test('a WorkerHost runs under a guard, in order, and its jobs learn what becomes of them', async () => {
  const log = new Log();
  const locker = site.locker();
  const module = await Test.createTestingModule({
    imports: [
      BullModule.forRoot({ connection: site.connection }),
      BullModule.registerQueue({ name: 'payments' }),
    ],
    providers: [
      Payments,
      {
        provide: Shared,
        inject: [getQueueToken('payments')],
        useFactory: (queue: Queue<Data>) => new Shared(locker, queue, log),
      },
    ],
  }).compile();
  await module.init();
  site.atEnd(() => module.close());
  const queue = module.get<Queue<Data>>(getQueueToken('payments'));
  await addMany(queue, 10);
  await completed(queue, 10);
  expect(log.ended).toEqual(range(10));
  expect(log.overlaps).toEqual([]);
  const job = await add(queue, { key: 'hangs', n: 11 });
  await started.opened;
  await site.client().del(`${queue.toKey(job.id as string)}:lock`);
  await until(() => reason !== undefined);
  expect(reason).toBeInstanceOf(LockAbortedError);
});
