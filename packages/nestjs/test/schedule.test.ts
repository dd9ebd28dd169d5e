import { memoryStore, type Locker, type LockStore } from '@holdfast/core';
import { currentLock, WithLock } from '@holdfast/nestjs';
import { virtualClock, type VirtualClock } from '@holdfast/testing';
import { Injectable, Logger } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import {
  Cron,
  CronExpression,
  Interval,
  ScheduleModule,
  SchedulerRegistry,
  Timeout,
} from '@nestjs/schedule';
import type { TestingModule } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { aLocker, compile, gate, until, type Gate } from './kit/index.ts';

const NEVER = '0 0 0 29 2 *';

/** What ran, on which replica, under which lock. */
let runs: string[];
let slow: Gate;

beforeEach(() => {
  runs = [];
  slow = gate();
  slow.open();
});

const ran = (what: string): void => {
  runs.push(`${what} under ${currentLock()?.key}`);
};

@Injectable()
class Jobs {
  @WithLock('cron-above', { onLocked: 'skip' })
  @Cron(CronExpression.EVERY_SECOND)
  async cronAbove(): Promise<void> {
    ran('cron-above');
  }

  @Cron(CronExpression.EVERY_SECOND)
  @WithLock('cron-below', { onLocked: 'skip' })
  async cronBelow(): Promise<void> {
    ran('cron-below');
  }

  @WithLock('interval')
  @Interval(20)
  async interval(): Promise<void> {
    ran('interval');
  }

  @Timeout(20)
  @WithLock('timeout')
  async timeout(): Promise<void> {
    ran('timeout');
  }

  @WithLock((id: string) => `event:${id}`)
  @OnEvent('order.paid')
  async eventAbove(id: string): Promise<void> {
    ran(`event-above ${id}`);
  }

  @OnEvent('order.paid')
  @WithLock((id: string) => `event:${id}`)
  async eventBelow(id: string): Promise<void> {
    ran(`event-below ${id}`);
  }
}

describe('scheduled methods and listeners', () => {
  test('scheduled methods and listeners run under their locks, whichever decorator is above', async () => {
    const module = await compile(aLocker(), {
      imports: [ScheduleModule.forRoot(), EventEmitterModule.forRoot()],
      providers: [Jobs],
    });
    module.get(EventEmitter2).emit('order.paid', '7');
    const expected = [
      ...['cron-above', 'cron-below', 'interval', 'timeout'].map((job) => `${job} under ${job}`),
      'event-above 7 under event:7',
      'event-below 7 under event:7',
    ];
    await until(() => expected.every((run) => runs.includes(run)));
  });
});

/** One replica's report, told which tick it is: clocks of replicas differ, ticks do not. */
@Injectable()
class Reports {
  tick = 0;

  @WithLock('report', { onLocked: 'skip', holdAtLeast: 2_000 })
  @Cron(NEVER, { name: 'report' })
  async report(): Promise<void> {
    runs.push(`${this.tick}`);
    await slow.opened;
  }

  @WithLock((tick: number) => `report:${tick}`, { onLocked: 'skip', holdAtLeast: 60_000 })
  async reportOf(tick: number): Promise<void> {
    runs.push(`${tick}`);
  }

  @WithLock('failing', { onLocked: 'throw', wait: 0 })
  @Cron(NEVER, { name: 'failing' })
  async failing(): Promise<void> {}
}

interface Replica {
  readonly reports: Reports;
  fire(tick: number): Promise<void>;
}

async function replica(clock: VirtualClock, store: LockStore): Promise<Replica> {
  const module: TestingModule = await compile(aLocker({ store, clock }), {
    imports: [ScheduleModule.forRoot()],
    providers: [Reports],
  });
  const reports = module.get(Reports);
  const job = module.get(SchedulerRegistry).getCronJob('report');
  return {
    reports,
    async fire(tick) {
      reports.tick = tick;
      await job.fireOnTick();
    },
  };
}

async function threeReplicas(clock: VirtualClock): Promise<[Replica, Replica, Replica]> {
  const store = memoryStore({ clock });
  return Promise.all([replica(clock, store), replica(clock, store), replica(clock, store)]);
}

describe('a report on three replicas', () => {
  test('a report runs on one replica while it runs, and for as long as it is held after that', async () => {
    const clock = virtualClock();
    const replicas = await threeReplicas(clock);
    slow = gate();
    const fired = replicas.map((one) => one.fire(1));
    await until(() => runs.length === 1);
    await clock.advance(1_000);
    slow.open();
    await Promise.all(fired);
    // A replica whose clock is half a second late.
    await clock.advance(500);
    await replicas[2].fire(1);
    expect(runs).toEqual(['1']);
    await clock.advance(1_000);
    await replicas[1].fire(2);
    await until(() => runs.length > 1);
    expect(runs).toEqual(['1', '2']);
  });

  test('a report runs once for each tick, whatever the skew of the clocks', async () => {
    const clock = virtualClock();
    const replicas = await threeReplicas(clock);
    for (const tick of [1, 2, 3]) {
      for (const late of [0, 1, 2]) {
        await replicas[((late + tick) % 3) as 0 | 1 | 2].reports.reportOf(tick);
        await clock.advance(250);
      }
    }
    // And one that was suspended.
    await replicas[0].reports.reportOf(1);
    expect(runs).toEqual(['1', '2', '3']);
  });
});

describe('a scheduled method that is not skipped', () => {
  let locker: Locker;

  afterEach(() => {
    Logger.overrideLogger(true);
  });

  test('a scheduled method that is not skipped has its error logged by the scheduler', async () => {
    locker = aLocker();
    const errors: unknown[] = [];
    const module = await compile(locker, {
      imports: [ScheduleModule.forRoot()],
      providers: [Reports],
    });
    Logger.overrideLogger({
      log() {},
      warn() {},
      error: (message: unknown) => errors.push(message),
    });
    await locker.withLock('failing', async () => {
      await module.get(SchedulerRegistry).getCronJob('failing').fireOnTick();
      await until(() => errors.length === 1);
    });
    expect(errors[0]).toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
  });
});
