import { once } from 'node:events';
import { connect } from 'node:net';
import { createLocker, type Locker, type LockerOptions } from '@holdfast/core';
import {
  memcachedBinary,
  serverBehindProxy,
  startMemcached,
  TestSite,
  type TestServer,
} from '@holdfast/test-servers';
import { Client, type ClientOptions, type ServerOptions } from 'memjs';
import { test as base } from 'vitest';
import { memcachedStore, type MemcachedStoreOptions } from '../../src/index.ts';

export { until } from '@holdfast/test-servers';

/** A memcached of one test's own, behind a proxy, and what the test makes on top of it. */
export class Site extends TestSite {
  static async start(args: readonly string[] = []): Promise<Site> {
    const startServer = (): Promise<TestServer> => startMemcached(memcachedBinary(), args);
    const { target, proxy } = await serverBehindProxy(startServer);
    return new Site(target, proxy, startServer);
  }

  get address(): string {
    return `${this.proxy.host}:${this.proxy.port}`;
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
