import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProxy, type FaultProxy } from './proxy.ts';
import type { TestServer } from './servers.ts';

/** A server of one test's own, behind a proxy, and what the test makes on top of it. */
export abstract class TestSite {
  private readonly endings: (() => unknown)[] = [];

  constructor(
    /** May be exchanged: the proxy leads to whatever it is. */
    private readonly target: { server: TestServer },
    readonly proxy: FaultProxy,
    private readonly startServer: () => Promise<TestServer>,
  ) {}

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
    this.target.server = await this.startServer();
  }

  /** The last comes first. */
  onEnd(end: () => unknown): void {
    this.endings.push(end);
  }

  async end(): Promise<void> {
    this.server.thaw();
    this.proxy.heal();
    for (const end of this.endings.toReversed()) await end();
    await this.proxy.stop();
    await this.server.stop();
  }
}

/** What a {@link TestSite} is made of: a server, and a proxy that leads to whatever server is there. */
export async function serverBehindProxy(
  startServer: () => Promise<TestServer>,
): Promise<{ target: { server: TestServer }; proxy: FaultProxy }> {
  const target = { server: await startServer() };
  const proxy = await startProxy({
    host: '127.0.0.1',
    get port() {
      return target.server.port;
    },
  });
  return { target, proxy };
}

/** Waits, but not for ever, for something that will be so. */
export async function until(what: string, condition: () => unknown, limit = 45_000): Promise<void> {
  const giveUpAt = performance.now() + limit;
  while ((await condition()) !== true) {
    if (performance.now() > giveUpAt) throw new Error(`Not within ${limit} ms: ${what}.`);
    await sleep(10);
  }
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
