import { memoryStore, type LockStore } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

/** Where the locks are: in Redis for any number of replicas, in memory for one. */
export class Locks {
  private constructor(
    readonly store: LockStore,
    private readonly redis?: Redis,
  ) {}

  static open(url: string | undefined): Locks {
    if (url === undefined || url === '') return new Locks(memoryStore());
    const redis = new Redis(url);
    // Whoever asks for a lock gets the error; without a listener each attempt to connect would be printed.
    redis.on('error', () => {});
    return new Locks(redisStore(redis), redis);
  }

  async close(): Promise<void> {
    await this.redis?.quit().catch(() => this.redis?.disconnect());
  }
}
