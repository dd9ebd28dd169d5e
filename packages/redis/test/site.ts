import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, type Lock, type Locker, type LockerOptions } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import {
  redisBinary,
  startProxy,
  startRedis,
  type FaultProxy,
  type TestServer,
} from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { test as base } from 'vitest';

interface ClientOptions {
  readonly [option: string]: unknown;
}

/** A Redis of one test's own, behind a proxy, and what the test makes on top of it. */
export class Site {
  private readonly endings: (() => unknown)[] = [];
  /** Past the proxy. */
  readonly admin: Redis;

  private constructor(
    /** May be exchanged: the proxy leads to whatever it is. */
    private readonly target: { server: TestServer },
    readonly proxy: FaultProxy,
    private readonly args: readonly string[],
  ) {
    const { port, host } = target.server;
    this.admin = new Redis(port, host);
    this.admin.on('error', () => {});
  }

  static async start(args: readonly string[] = []): Promise<Site> {
    const target = { server: await startRedis(redisBinary(), { args }) };
    const proxy = await startProxy({
      host: '127.0.0.1',
      get port() {
        return target.server.port;
      },
    });
    return new Site(target, proxy, args);
  }

  get server(): TestServer {
    return this.target.server;
  }

  /** Freezes the server, and waits until all of it stands still. */
  async freeze(): Promise<void> {
    const { server } = this;
    server.freeze();
    const tasks = `/proc/${server.pid}/task`;
    const stopped = async (task: string): Promise<boolean> =>
      / T /.test(await readFile(`${tasks}/${task}/stat`, 'utf8'));
    await until('the server is frozen', async () => {
      const states = await Promise.all((await readdir(tasks).catch(() => [])).map(stopped));
      return states.every(Boolean);
    });
  }

  /**
   * Kills the server, and starts another behind the proxy, with nothing in it. Not on the same port,
   * which somebody else may have taken meanwhile.
   */
  async restart(): Promise<void> {
    await this.server.stop();
    this.target.server = await startRedis(redisBinary(), { args: this.args });
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
  locker(options: LockerOptions = {}, client = this.client()): Locker {
    const locker = createLocker({ store: redisStore(client), ...options });
    this.onEnd(() => locker.close());
    return locker;
  }

  /** The last comes first. */
  onEnd(end: () => unknown): void {
    this.endings.push(end);
  }

  async end(): Promise<void> {
    this.server.thaw();
    this.proxy.heal();
    for (const end of this.endings.toReversed()) await end();
    this.admin.disconnect();
    await this.proxy.stop();
    await this.server.stop();
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

/** Waits, but not for ever, for something that will be so. */
export async function until(what: string, condition: () => unknown, limit = 20_000): Promise<void> {
  const giveUpAt = performance.now() + limit;
  while ((await condition()) !== true) {
    if (performance.now() > giveUpAt) throw new Error(`Not within ${limit} ms: ${what}.`);
    await sleep(10);
  }
}

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

/** How long a promise took to settle, in ms, and what it rejected with. */
export async function fails(promise: Promise<unknown>): Promise<{ error: unknown; after: number }> {
  const startedAt = performance.now();
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, after: performance.now() - startedAt };
}
