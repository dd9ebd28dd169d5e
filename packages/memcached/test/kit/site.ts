import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, type Locker, type LockerOptions } from '@holdfast/core';
import {
  memcachedBinary,
  startMemcached,
  startProxy,
  type FaultProxy,
  type TestServer,
} from '@holdfast/test-servers';
import { Client, type ClientOptions, type ServerOptions } from 'memjs';
import { test as base } from 'vitest';
import { memcachedStore, type MemcachedStoreOptions } from '../../src/index.ts';

/** A memcached of one test's own, behind a proxy, and what the test makes on top of it. */
export class Site {
  private readonly endings: (() => unknown)[] = [];

  private constructor(
    /** May be exchanged: the proxy leads to whatever it is. */
    private readonly target: { server: TestServer },
    readonly proxy: FaultProxy,
  ) {}

  static async start(args: readonly string[] = []): Promise<Site> {
    const target = { server: await startMemcached(memcachedBinary(), args) };
    const proxy = await startProxy({
      host: '127.0.0.1',
      get port() {
        return target.server.port;
      },
    });
    return new Site(target, proxy);
  }

  get server(): TestServer {
    return this.target.server;
  }

  get address(): string {
    return `${this.proxy.host}:${this.proxy.port}`;
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

  /** Kills the server, and starts another at the same address. */
  async restart(): Promise<void> {
    await this.server.stop();
    this.target.server = await startMemcached(memcachedBinary());
  }

  client(options: ClientOptions & ServerOptions = {}): Client {
    const client: Client = Client.create(this.address, options);
    this.onEnd(() => client.close());
    return client;
  }

  /** A locker over a client and a store of its own, as in a process of its own. */
  locker(options: LockerOptions & MemcachedStoreOptions = {}, client = this.client()): Locker {
    const { compat, ...rest } = options;
    const locker = createLocker({ store: memcachedStore(client, { compat }), ...rest });
    this.onEnd(() => locker.close());
    return locker;
  }

  /** The last comes first. */
  onEnd(end: () => unknown): void {
    this.endings.push(end);
  }

  /** Asks the server, not the proxy, in its text protocol. */
  async ask(command: string): Promise<string> {
    const socket = connect(this.server.port, this.server.host);
    socket.write(`${command}\r\nmn\r\n`);
    let answer = '';
    while (!answer.endsWith('MN\r\n')) answer += String((await once(socket, 'data'))[0]);
    socket.destroy();
    return answer.slice(0, -'MN\r\n'.length).trim();
  }

  /** The value of an item; `undefined` if there is none. */
  async value(stored: string): Promise<string | undefined> {
    return (await this.item(stored))?.value;
  }

  async item(stored: string): Promise<{ value: string; cas: number } | undefined> {
    const found = /^VALUE \S+ \d+ \d+ (\d+)\r\n([^]*)\r\nEND$/.exec(
      await this.ask(`gets ${stored}`),
    );
    return found === null ? undefined : { value: found[2] as string, cas: Number(found[1]) };
  }

  /** One of the server's statistics. */
  async stat(name: string): Promise<number> {
    return Number(new RegExp(`STAT ${name} (\\d+)`).exec(await this.ask('stats'))?.[1]);
  }

  async end(): Promise<void> {
    this.server.thaw();
    this.proxy.heal();
    for (const end of this.endings.toReversed()) await end();
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
export async function until(what: string, condition: () => unknown, limit = 10_000): Promise<void> {
  const giveUpAt = performance.now() + limit;
  while ((await condition()) !== true) {
    if (performance.now() > giveUpAt) throw new Error(`Not within ${limit} ms: ${what}.`);
    await sleep(10);
  }
}
