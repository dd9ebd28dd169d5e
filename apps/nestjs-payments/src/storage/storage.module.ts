import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locker } from '@holdfast/core';
import { InjectLocker } from '@holdfast/nestjs';
import { Global, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { Ledger } from './ledger.ts';
import { Locks } from './locks.ts';

/** Ends the connections, after the locks: the order in which Nest shuts modules down varies. */
@Injectable()
class StorageShutdown implements OnApplicationShutdown {
  constructor(
    private readonly ledger: Ledger,
    private readonly locks: Locks,
    @InjectLocker() private readonly locker: Locker,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.locker.close({ drain: 10_000 });
    await this.locks.close();
    this.ledger.close();
  }
}

/** A file of this process's own, unless replicas share one. */
const databaseUrl = (): string =>
  process.env['DATABASE_URL'] ??
  `file:${join(mkdtempSync(join(tmpdir(), 'holdfast-payments-')), 'payments.db')}`;

@Global()
@Module({
  providers: [
    { provide: Ledger, useFactory: () => Ledger.open(databaseUrl()) },
    { provide: Locks, useFactory: () => Locks.open(process.env['REDIS_URL']) },
    StorageShutdown,
  ],
  exports: [Ledger, Locks],
})
export class StorageModule {}
