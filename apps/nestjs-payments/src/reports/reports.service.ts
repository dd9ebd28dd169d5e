import { currentLock, WithLock } from '@holdfast/nestjs';
import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Cron, SchedulerRegistry } from '@nestjs/schedule';
import { Ledger } from '../storage/ledger.ts';
import type { Report } from './report.ts';

const SCHEDULE = process.env['REPORT_CRON'] ?? '0 * * * * *';

@Injectable()
export class ReportsService implements OnApplicationBootstrap {
  /** The tick that comes next, by the schedule: the same on all replicas, whatever their clocks say. */
  private due = new Date();

  constructor(
    private readonly ledger: Ledger,
    private readonly scheduler: SchedulerRegistry,
  ) {}

  onApplicationBootstrap(): void {
    this.due = this.after(this.due);
  }

  @Cron(SCHEDULE, { name: 'report' })
  async onTick(): Promise<void> {
    let tick = this.due;
    this.due = this.after(tick);
    // Those that nobody could be told of, because the process was busy, are over.
    while (this.due <= new Date()) {
      tick = this.due;
      this.due = this.after(tick);
    }
    await this.report(tick.toISOString());
  }

  /**
   * Each tick has a lock of its own, which outlasts the report: a replica that is late, because its
   * clock is or because it is busy, finds it taken.
   */
  @WithLock((tick: string) => `report:${tick}`, { onLocked: 'skip', holdAtLeast: 600_000 })
  async report(tick: string): Promise<void> {
    const { payments, total } = await this.ledger.totals();
    await this.ledger.addReport({ tick, payments, total, by: String(currentLock()?.label) });
  }

  async list(): Promise<Report[]> {
    return this.ledger.reports();
  }

  /** The first tick after another. */
  private after(tick: Date): Date {
    const { cronTime } = this.scheduler.getCronJob('report');
    return cronTime.getNextDateFrom(tick).toJSDate();
  }
}
