import type { Job } from 'bullmq';
import type { Settings } from '../options.ts';
import type { LineInfo, OrderOptions } from '../types.ts';
import { OrderClient } from './client.ts';
import { LookAhead } from './look-ahead.ts';
import { Place } from './place.ts';
import { PlaceRefresher } from './place-refresher.ts';
import { lineName } from './registration.ts';
import { show } from './scripts/show.ts';
import { TakenLocks } from './scripts/took.ts';
import { startOrderOf, type StartOrder } from './start-order.ts';
import { StartedJobs } from './started-jobs.ts';

/** The most jobs to tell of a line. */
const MOST_SHOWN = 1_000;

/** The lines of jobs that wait for keys, of one queue. */
export class Line {
  readonly client: OrderClient;
  readonly taken: TakenLocks;
  readonly refresher: PlaceRefresher;
  readonly startOrder: StartOrder;
  readonly started: StartedJobs;
  readonly lookAhead: LookAhead;

  constructor(
    readonly settings: Settings,
    readonly order: OrderOptions,
  ) {
    const { queue } = order;
    this.client = new OrderClient(order);
    this.taken = new TakenLocks(this.client);
    this.refresher = new PlaceRefresher(this.client, settings.locker);
    this.startOrder = startOrderOf(this.client.base);
    this.started = new StartedJobs(this);
    this.lookAhead = new LookAhead(settings, queue, this.client, this.refresher);
  }

  /** For a run of a job that BullMQ has just started. */
  place(job: Job): Place {
    return new Place(this, job);
  }

  async info(key: string): Promise<LineInfo> {
    await this.taken.tell();
    return { key, ...(await show(this.client, lineName(key), MOST_SHOWN)) };
  }
}
