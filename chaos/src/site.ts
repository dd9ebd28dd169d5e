import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProxy, startRedis, type FaultProxy, type TestServer } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { History } from './history.ts';
import { KEYS, TTL } from './protocol.ts';
import { Worker } from './worker.ts';

/** What is acknowledged is on disk: a server that is killed comes back with every lock. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];
const PATIENCE = 60_000;

/** A server with processes that lock on it, through a proxy, and a counter that they share. */
export class Site {
  readonly history = new History();
  readonly admin: Redis;
  private readonly workers: Worker[] = [];

  private constructor(
    private readonly binary: string,
    private readonly folder: string,
    private readonly target: { server: TestServer },
    readonly proxy: FaultProxy,
    private readonly counterServer: TestServer,
    private readonly library: string,
  ) {
    const { port, host } = target.server;
    this.admin = new Redis(port, host, { maxRetriesPerRequest: null });
    this.admin.on('error', () => {});
  }

  static async start(binary: string, processes: number, library: string): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-chaos-'));
    const target = { server: await startRedis(binary, { args: DURABLE, folder }) };
    const proxy = await startProxy({
      host: '127.0.0.1',
      get port() {
        return target.server.port;
      },
    });
    const counterServer = await startRedis(binary);
    const site = new Site(binary, folder, target, proxy, counterServer, library);
    for (let index = 0; index < processes; index++) site.workers.push(site.startWorker());
    await Promise.all(site.workers.map(({ ready }) => ready));
    return site;
  }

  get server(): TestServer {
    return this.target.server;
  }

  async restart(): Promise<void> {
    const { binary, folder } = this;
    const { port } = this.server;
    this.target.server = await startRedis(binary, { args: DURABLE, folder, port });
  }

  /** Kills a process, and starts another. */
  async replace(): Promise<void> {
    const index = this.pick();
    const worker = this.workers[index] as Worker;
    const next = this.startWorker();
    await next.ready;
    this.workers[index] = next;
    await worker.kill();
  }

  async freezeWorker(ms: number): Promise<void> {
    const worker = this.workers[this.pick()] as Worker;
    worker.freeze();
    setTimeout(() => worker.thaw(), ms);
  }

  /** Lets all finish. @returns what is wrong in the end */
  async finish(): Promise<string[]> {
    this.proxy.heal();
    for (const worker of this.workers) if (worker.frozen) worker.thaw();
    const ended = await Promise.all(this.workers.map((worker) => worker.finish(PATIENCE)));
    const problems = [...this.history.failures, ...this.history.violations()];
    const hung = ended.filter((well) => !well).length;
    if (hung > 0) problems.push(`${hung} processes did not end.`);
    return [...problems, ...(await this.miscounted()), ...(await this.leftBehind())];
  }

  async stop(): Promise<void> {
    this.admin.disconnect();
    await Promise.all(this.workers.map((worker) => worker.kill()));
    await this.proxy.stop();
    await this.server.stop();
    await this.counterServer.stop();
  }

  private startWorker(): Worker {
    const ports = [this.proxy.port, this.counterServer.port];
    return Worker.start([this.library, ...ports], this.history.note);
  }

  /** One that is awake, and half of the time one that holds a lock. */
  private pick(): number {
    const awake = [...this.workers.entries()].filter(([, { frozen }]) => !frozen);
    const holding = awake.filter((entry) => entry[1].holding);
    const among = holding.length > 0 && Math.random() < 0.5 ? holding : awake;
    return among[Math.floor(Math.random() * among.length)]?.[0] ?? 0;
  }

  /** Writes that were accepted and undone: each who wrote was told so, unless it was killed then. */
  private async miscounted(): Promise<string[]> {
    const counter = new Redis(this.counterServer.port, this.counterServer.host);
    const counts = await Promise.all(KEYS.map((key) => counter.hget(key, 'count')));
    counter.disconnect();
    return KEYS.flatMap((key, index) => {
      const count = Number(counts[index] ?? 0);
      const written = this.history.written(key);
      return count < written ? [`${key} is at ${count} after ${written} increments.`] : [];
    });
  }

  private async leftBehind(): Promise<string[]> {
    // The leases and registrations of those that were killed.
    await new Promise((resolve) => setTimeout(resolve, TTL + 1_000));
    const { admin } = this;
    const keys = await admin.keys('*');
    const values = await Promise.all(keys.map((name) => admin.get(name).catch(() => 'a queue')));
    // What is over is remembered for its fencing token.
    const isOver = (value: string | null): boolean =>
      value === null ||
      /^\d{16}$/.test(value) ||
      Number(/^holdfast:1 \w+ (\d+)/.exec(value)?.[1] ?? Infinity) < Date.now();
    const names = keys.filter((_, index) => !isOver(values[index] ?? null));
    const channels = (await admin.pubsub('CHANNELS', '*')) as string[];
    const connections =
      String(await admin.client('LIST'))
        .trim()
        .split('\n').length - 1;
    const problems = [...names, ...channels].map((name) => `${name} is left on the server.`);
    if (connections > 0) problems.push(`${connections} connections are left.`);
    return problems;
  }
}
