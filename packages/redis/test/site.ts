import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createLocker, type Lock, type Locker, type LockerOptions } from '@holdfast/core';
import { redisStore, type AnyRedisClient } from '@holdfast/redis';
import {
  redisBinary,
  serverBehindProxy,
  startRedis,
  TestSite,
  type TestServer,
} from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { test as base } from 'vitest';

export { fails, until } from '@holdfast/test-servers';

interface ClientOptions {
  readonly [option: string]: unknown;
}

/** A Redis of one test's own, behind a proxy, and what the test makes on top of it. */
export class Site extends TestSite {
  /** Past the proxy. */
  readonly admin: Redis;

  private constructor(...parts: ConstructorParameters<typeof TestSite>) {
    super(...parts);
    const { port, host } = this.server;
    this.admin = new Redis(port, host);
    this.admin.on('error', () => {});
    this.onEnd(() => this.admin.disconnect());
  }

  static async start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Site> {
    const startServer = (): Promise<TestServer> => startRedis(redisBinary(), { args, env });
    const { target, proxy } = await serverBehindProxy(startServer);
    return new Site(target, proxy, startServer);
  }

  override async restart(): Promise<void> {
    await super.restart();
    this.admin.options.port = this.server.port;
  }

  /** Makes all that saves the server's data fail, or work again. */
  async breakSaving(broken: boolean): Promise<void> {
    const [, folder = ''] = await this.admin.config('GET', 'dir');
    const file = join(folder, 'dump.rdb');
    if (broken) await mkdir(file);
    else await rmdir(file);
  }

  client(options: ClientOptions = {}): Redis {
    const client = new Redis(this.proxy.port, this.proxy.host, options);
    // What fails is what the tests look at; without a listener ioredis prints it.
    client.on('error', () => {});
    this.onEnd(() => client.disconnect());
    return client;
  }

  /** A locker over a client and a store of its own, as in a process of its own. */
  locker(options: LockerOptions = {}, client: AnyRedisClient = this.client()): Locker {
    const locker = createLocker({ store: redisStore(client), ...options });
    this.onEnd(() => locker.close());
    return locker;
  }
}

/** A test with a {@link Site}. */
export const test = base.extend<{ site: Site }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest wants one
  site: async ({}, use) => {
    const site = await Site.start();
    await use(site);
    await site.end();
  },
});

/** Until a locker waits for a key behind others. */
export async function waiting(
  locker: Locker,
  lock: () => Promise<Lock>,
): Promise<{ readonly taken: Promise<Lock> }> {
  const waits = new Promise<void>((resolve) => {
    const off = locker.on('waiting', () => {
      off();
      resolve();
    });
  });
  const taken = lock();
  taken.catch(() => {});
  await waits;
  // Not by itself, or it would be awaited here.
  return { taken };
}
