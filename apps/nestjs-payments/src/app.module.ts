import { LockModule } from '@holdfast/nestjs';
import { Module, ServiceUnavailableException } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthController } from './health/health.controller.ts';
import { Bank } from './payments/bank.ts';
import { PaymentsController } from './payments/payments.controller.ts';
import { PaymentsService } from './payments/payments.service.ts';
import { ReportsController } from './reports/reports.controller.ts';
import { ReportsService } from './reports/reports.service.ts';
import { StorageModule } from './storage/storage.module.ts';
import { Locks } from './storage/locks.ts';

@Module({
  imports: [
    StorageModule,
    ScheduleModule.forRoot(),
    LockModule.forRootAsync({
      inject: [Locks],
      useFactory: ({ store }: Locks) => ({
        store,
        label: `payments:${process.pid}`,
        // A replica that crashes keeps its orders locked for so long: less than others wait for them.
        ttl: 5_000,
        // Whoever waits for an order when a replica stops is served, and not sent away.
        serveWaiting: true,
        // A payment that lost its lock has not been written, and can be made again.
        exceptionFactory: ({ code }) =>
          code === 'LOCK_LOST' ? new ServiceUnavailableException({ status: 503, code }) : undefined,
      }),
    }),
  ],
  controllers: [PaymentsController, ReportsController, HealthController],
  providers: [Bank, PaymentsService, ReportsService],
})
export class AppModule {}
