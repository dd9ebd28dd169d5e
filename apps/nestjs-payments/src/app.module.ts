import { LockModule } from '@holdfast/nestjs';
import { Module } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthController } from './health/health.controller.ts';
import { Bank } from './payments/bank.ts';
import { PaymentsController } from './payments/payments.controller.ts';
import { PaymentsService } from './payments/payments.service.ts';
import { ReportsController } from './reports/reports.controller.ts';
import { ReportsService } from './reports/reports.service.ts';
import { StorageModule } from './storage/storage.module.ts';
import { Storage } from './storage/storage.ts';

@Module({
  imports: [
    StorageModule,
    ScheduleModule.forRoot(),
    LockModule.forRootAsync({
      inject: [Storage],
      useFactory: ({ locks }: Storage) => ({
        store: locks,
        label: `payments:${process.pid}`,
        // A replica that crashes keeps its orders locked for so long: less than others wait for them.
        ttl: 5_000,
      }),
    }),
  ],
  controllers: [PaymentsController, ReportsController, HealthController],
  providers: [Bank, PaymentsService, ReportsService],
})
export class AppModule {}
