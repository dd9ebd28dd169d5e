import type { Settings } from '../options.ts';
import type { LineInfo, OrderOptions } from '../types.ts';
import { OrderClient } from './client.ts';
import { LookAhead } from './look-ahead.ts';
import { PlaceRefresher } from './place-refresher.ts';
import { lineName } from './registration.ts';
import { PROGRAM } from './scripts/program.ts';
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
    this.startOrder = startOrderOf(queue.toKey(''));
    this.client = new OrderClient(order, PROGRAM, this.startOrder);
    this.taken = new TakenLocks(this.client);
    this.refresher = new PlaceRefresher(this.client, settings.locker);
    this.started = new StartedJobs(settings, queue, this.client, this.refresher, this.startOrder);
    this.lookAhead = new LookAhead(settings, queue, this.client, this.refresher);
  }

  async info(key: string): Promise<LineInfo> {
    await this.taken.tell();
    return { key, ...(await show(this.client, lineName(key), MOST_SHOWN)) };
  }
}
