import { currentLock, WithLock } from '@holdfast/nestjs';
import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Cron, SchedulerRegistry } from '@nestjs/schedule';
import type { Payment } from '../payments/payment.ts';
import { Storage } from '../storage/storage.ts';
import type { Report } from './report.ts';

const SCHEDULE = process.env['REPORT_CRON'] ?? '0 * * * * *';

@Injectable()
export class ReportsService implements OnApplicationBootstrap {
  /** The tick that comes next, as the schedule has it: the same on all replicas. */
  private due = '';

  constructor(
    private readonly storage: Storage,
    private readonly scheduler: SchedulerRegistry,
  ) {}

  onApplicationBootstrap(): void {
    this.due = this.nextTick();
  }

  @Cron(SCHEDULE, { name: 'report' })
  async onTick(): Promise<void> {
    const tick = this.due;
    this.due = this.nextTick();
    await this.report(tick);
  }

  /**
   * Each tick has a lock of its own, which outlasts the report: a replica that is late, because its
   * clock is or because it is busy, finds it taken.
   */
  @WithLock((tick: string) => `report:${tick}`, { onLocked: 'skip', holdAtLeast: 600_000 })
  async report(tick: string): Promise<void> {
    const payments = await this.storage.entries<Payment>('payments');
    const total = payments.reduce((sum, { amount }) => sum + amount, 0);
    const by = String(currentLock()?.label);
    const report: Report = { tick, payments: payments.length, total, by };
    await this.storage.append('reports', report);
  }

  async list(): Promise<Report[]> {
    return this.storage.entries<Report>('reports');
  }

  private nextTick(): string {
    return this.scheduler.getCronJob('report').nextDate().toJSDate().toISOString();
  }
}
