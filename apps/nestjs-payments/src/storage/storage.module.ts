import { Global, Module } from '@nestjs/common';
import { MemoryStorage } from './memory.storage.ts';
import { Storage } from './storage.ts';

@Global()
@Module({
  providers: [{ provide: Storage, useClass: MemoryStorage }],
  exports: [Storage],
})
export class StorageModule {}
