// Applications on one real Redis, each with a client of its own, as replicas have.
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { currentLock, InjectLocker, LockModule, WithLock } from '@holdfast/nestjs';
import { createLocker, type Locker } from '@holdfast/core';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { Test, type TestingModule } from '@nestjs/testing';
import { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { aMoment, atEnd, until, Work } from './kit/index.ts';

const redis = useRedis();

/** What ran, by tick and by replica. */
let reports: { tick: number; by: string | undefined }[];
let work: Work;

beforeEach(() => {
  reports = [];
  work = new Work();
});

function aClient(): Redis {
  const client = new Redis(redis.url);
  atEnd(() => client.disconnect());
  return client;
}

@Injectable()
class Reports {
  tick = 0;

  /** The schedule tells which tick it is; the clocks of replicas differ. */
  @Cron('0 0 0 29 2 *', { name: 'report' })
  async onTick(): Promise<void> {
    this.tick += 1;
    await this.report(this.tick);
  }

  @WithLock((tick: number) => `report:${tick}`, { onLocked: 'skip', holdAtLeast: 30_000 })
  async report(tick: number): Promise<void> {
    reports.push({ tick, by: currentLock()?.label });
  }

  /** Of a schedule by itself: whoever comes while it runs, or soon after, skips it. */
  @WithLock('brief', { onLocked: 'skip', holdAtLeast: 5_000 })
  @Cron('0 0 0 29 2 *', { name: 'brief' })
  async brief(): Promise<void> {
    reports.push({ tick: 0, by: currentLock()?.label });
  }
}

@Injectable()
class Orders {
  @WithLock((id: string) => `order:${id}`)
  async pay(id: string): Promise<string> {
    return work.run(id);
  }
}

async function replica(label: string): Promise<TestingModule> {
  const store = redisStore(aClient());
  const namespace = expect.getState().currentTestName;
  const module = await Test.createTestingModule({
    imports: [ScheduleModule.forRoot(), LockModule.forRoot({ store, label, namespace })],
    providers: [Reports, Orders],
  }).compile();
  await module.init();
  atEnd(() => module.close());
  return module;
}

const fire = (module: TestingModule, job: string): void =>
  void module.get(SchedulerRegistry).getCronJob(job).fireOnTick();

describe('three applications on one Redis', () => {
  test('three applications run a scheduled method once for each tick, half a second apart', async () => {
    const replicas = await Promise.all(['a', 'b', 'c'].map(replica));
    for (const tick of [1, 2, 3]) {
      for (const module of replicas) {
        fire(module, 'report');
        await sleep(250);
      }
      await until(() => reports.some((report) => report.tick === tick));
    }
    expect(reports.map(({ tick }) => tick)).toEqual([1, 2, 3]);
  });

  test('three applications run a scheduled method once if all are on time', async () => {
    const replicas = await Promise.all(['a', 'b', 'c'].map(replica));
    for (const module of replicas) fire(module, 'brief');
    await until(() => reports.length > 0);
    await sleep(500);
    for (const module of replicas) fire(module, 'brief');
    await sleep(250);
    expect(reports).toHaveLength(1);
  });

  test('three applications run the calls of a method one after the other', async () => {
    const replicas = await Promise.all(['a', 'b', 'c'].map(replica));
    work.end('1');
    const calls = replicas.flatMap((module) => [
      module.get(Orders).pay('1'),
      module.get(Orders).pay('1'),
    ]);
    await expect(Promise.all(calls)).resolves.toEqual(Array(6).fill('1'));
    expect(work.most).toBe(1);
  });
});

describe('at shutdown', () => {
  test('a shutdown waits for what runs, and leaves the client of the user open', async () => {
    const client = aClient();
    const module = await Test.createTestingModule({
      imports: [LockModule.forRoot({ store: redisStore(client) })],
      providers: [Orders],
    }).compile();
    await module.init();
    const paid = module.get(Orders).pay('2');
    await until(() => work.begun.length === 1);
    let isClosed = false;
    const closed = module.close().then(() => {
      isClosed = true;
    });
    await aMoment();
    expect(isClosed).toBe(false);
    work.end('2');
    await Promise.all([paid, closed]);
    await expect(client.ping()).resolves.toBe('PONG');
    const other = (await replica('other')).get(Orders);
    await expect(other.pay('2')).resolves.toBe('2');
  });

  test('a provider that closes the locker first may close the client, in whatever order', async () => {
    const client = aClient();
    @Injectable()
    class Connection implements OnApplicationShutdown {
      constructor(
        @Inject(Redis) private readonly used: Redis,
        @InjectLocker() private readonly locker: Locker,
      ) {}

      async onApplicationShutdown(): Promise<void> {
        await this.locker.close({ drain: 10_000 });
        await this.used.quit();
      }
    }
    const module = await Test.createTestingModule({
      imports: [LockModule.forRoot({ store: redisStore(client), namespace: 'closing' })],
      providers: [Orders, { provide: Redis, useValue: client }, Connection],
    }).compile();
    await module.init();
    const paid = module.get(Orders).pay('3');
    await until(() => work.begun.length === 1);
    const closed = module.close();
    await aMoment();
    expect(client.status).toBe('ready');
    work.end('3');
    await Promise.all([paid, closed]);
    await until(() => client.status === 'end');
    const other = createLocker({ store: redisStore(aClient()), namespace: 'closing' });
    expect((await other.list()).locks).toEqual([]);
    await other.close();
  });
});
