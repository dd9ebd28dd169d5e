import { redisStore } from '@holdfast/redis';
import type { Redis } from 'ioredis';
import { Storage } from './storage.ts';

/** For any number of processes. */
export class RedisStorage extends Storage {
  readonly locks;

  constructor(private readonly redis: Redis) {
    super();
    this.locks = redisStore(redis);
    // Whoever asks is told; without a listener each attempt to connect would be printed.
    redis.on('error', () => {});
  }

  async read<T>(name: string): Promise<T | undefined> {
    const record = await this.redis.get(`payments:${name}`);
    return record === null ? undefined : (JSON.parse(record) as T);
  }

  async write(name: string, record: unknown): Promise<void> {
    await this.redis.set(`payments:${name}`, JSON.stringify(record));
  }

  async append(list: string, entry: unknown): Promise<void> {
    await this.redis.rpush(`payments:${list}`, JSON.stringify(entry));
  }

  async entries<T>(list: string): Promise<T[]> {
    const entries = await this.redis.lrange(`payments:${list}`, 0, -1);
    return entries.map((entry) => JSON.parse(entry) as T);
  }

  override async close(): Promise<void> {
    await this.redis.quit();
  }
}
