import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import type { Audit } from './ledger.ts';
import { RedisLedger, transfersOverRedis } from './redis-ledger.ts';
import { conclude, headline, timed, verdict } from './report.ts';
import { paint, seconds } from './screen.ts';
import type { How, Told } from './service-main.ts';
import { NAMES, type Glimpse } from './services.ts';
import type { Stage } from './stage.ts';
import { Statistics } from './statistics.ts';
import { Timeline } from './timeline.ts';

/** Beside this file, as it is: built or not. */
const FILE = import.meta.url.endsWith('.ts') ? 'service-main.ts' : 'service-main.js';

type Watch = (done: number, glimpses: readonly Glimpse[]) => void;

/** A process for each service. They start while other things are shown. */
export class Services {
  readonly key = `holdfast-demo:${randomUUID()}`;
  private readonly children: readonly ChildProcess[];
  private readonly ready: Promise<unknown>;
  /** Rejects if one ends before it should. */
  private readonly broken: Promise<never>;
  private ending = false;

  constructor(url: string) {
    const file = fileURLToPath(new URL(FILE, import.meta.url));
    this.children = NAMES.map((_, index) => fork(file, [url, this.key, String(index)]));
    this.ready = Promise.all(this.children.map((child) => once(child, 'message')));
    this.broken = new Promise((_, reject) => {
      for (const child of this.children) {
        child.once('exit', (code) => {
          if (!this.ending) reject(new Error(`A service ended with ${code}.`));
        });
      }
    });
    this.broken.catch(() => {});
  }

  /** All begin at the same moment. @returns the ms from then on */
  async post(how: How, statistics: Statistics, watch: Watch): Promise<number> {
    await Promise.race([this.ready, this.broken]);
    return timed(async () => {
      const last = NAMES.map((name) => ({ done: 0, glimpse: { name, waiting: 0 } as Glimpse }));
      const finished = this.children.map((child, index) =>
        heard(child, (told) => {
          if (told.what === 'finished') statistics.add(told.statistics);
          if (told.what !== 'progress') return;
          last[index] = told;
          const done = last.reduce((sum, one) => sum + one.done, 0);
          watch(
            done,
            last.map(({ glimpse }) => glimpse),
          );
        }),
      );
      for (const child of this.children) child.send(how);
      await Promise.race([Promise.all(finished), this.broken]);
    });
  }

  async end(): Promise<void> {
    this.ending = true;
    const ended = this.children
      .filter(({ exitCode }) => exitCode === null)
      .map((child) => once(child, 'exit'));
    for (const child of this.children) if (child.connected) child.disconnect();
    await Promise.all(ended);
  }
}

/** Until it has finished. */
function heard(child: ChildProcess, hear: (told: Told) => void): Promise<void> {
  return new Promise((resolve) => {
    const listener = (told: Told): void => {
      hear(told);
      if (told.what !== 'finished') return;
      child.off('message', listener);
      resolve();
    };
    child.on('message', listener);
  });
}

export async function connect(url: string): Promise<Redis> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => {});
  await client.connect().catch((error: unknown) => {
    throw new Error(`No Redis at ${new URL(url).host} (REDIS_URL).`, { cause: error });
  });
  return client;
}

/** The same transfers twice, by a process for each service: without locks, and with them. */
export async function demonstrate(stage: Stage, client: Redis, services: Services): Promise<void> {
  const ledger = new RedisLedger(client, services.key);
  const transfers = transfersOverRedis();
  const books = async (
    how: How,
    statistics: Statistics,
    watch: Watch,
  ): Promise<{ audit: Audit; took: number }> => {
    await ledger.open();
    const took = await services.post(how, statistics, watch);
    return { audit: await ledger.audit(transfers), took };
  };
  try {
    const title = headline(2, transfers.length, ledger.size, `${NAMES.length} processes`);
    stage.conclude('careless', [title]);
    const careless = await books('unlocked', new Statistics([]), () => {});
    stage.show('careless', [title, `   ${verdict(careless.audit)}`]);
    stage.tell(`   ${verdict(careless.audit)} ${paint('dim', `(${seconds(careless.took)})`)}`);
    const statistics = new Statistics([]);
    const timeline = new Timeline(stage, transfers.length);
    const { audit, took } = await books('locked', statistics, timeline.watch);
    conclude(stage, timeline, {
      damage: careless.audit,
      audit,
      statistics,
      transfers: transfers.length,
      took,
    });
  } finally {
    await ledger.close();
  }
}
