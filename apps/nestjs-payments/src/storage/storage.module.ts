import type { Locker } from '@holdfast/core';
import { InjectLocker } from '@holdfast/nestjs';
import { Global, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import { MemoryStorage } from './memory.storage.ts';
import { RedisStorage } from './redis.storage.ts';
import { Storage } from './storage.ts';

const REDIS_URL = process.env['REDIS_URL'] ?? '';

/** Ends the connection, after the locks: the order in which Nest shuts modules down varies. */
@Injectable()
class StorageShutdown implements OnApplicationShutdown {
  constructor(
    private readonly storage: Storage,
    @InjectLocker() private readonly locker: Locker,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.locker.close({ drain: 10_000 });
    await this.storage.close();
  }
}

@Global()
@Module({
  providers: [
    {
      provide: Storage,
      useFactory: () =>
        REDIS_URL === '' ? new MemoryStorage() : new RedisStorage(new Redis(REDIS_URL)),
    },
    StorageShutdown,
  ],
  exports: [Storage],
})
export class StorageModule {}
