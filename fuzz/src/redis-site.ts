import { createLocker, type Locker, type LockStore } from '@holdfast/core';
import { ensureBinaries, REDIS, startRedis, type TestServer } from '@holdfast/test-servers';
import { Redis } from 'ioredis';

/** A Redis of a target's own, and what ends with it. */
export class RedisSite {
  private readonly endings: (() => unknown)[] = [];

  private constructor(readonly server: TestServer) {}

  static async start(): Promise<RedisSite> {
    const [binary = ''] = await ensureBinaries([REDIS]);
    return new RedisSite(await startRedis(binary));
  }

  get connection(): { host: string; port: number; maxRetriesPerRequest: null } {
    const { host, port } = this.server;
    return { host, port, maxRetriesPerRequest: null };
  }

  client(db = 0): Redis {
    const client = new Redis({ ...this.connection, db });
    client.on('error', () => {});
    this.onEnd(() => client.disconnect());
    return client;
  }

  locker(store: LockStore): Locker {
    const locker = createLocker({ store, ttl: 60_000 });
    // A lock that is taken away is no news here.
    locker.on('lost', () => {});
    this.onEnd(() => locker.close());
    return locker;
  }

  onEnd(end: () => unknown): void {
    this.endings.unshift(end);
  }

  async stop(): Promise<void> {
    for (const end of this.endings) await end();
    await this.server.stop();
  }
}
