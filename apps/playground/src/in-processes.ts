import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { readTransfers, type Audit } from './ledger.ts';
import { RedisLedger } from './redis-ledger.ts';
import { conclude, headline, timed, verdict } from './report.ts';
import { paint, say, seconds } from './screen.ts';
import type { Told } from './service-main.ts';
import { NAMES, type Glimpse } from './services.ts';
import { Statistics } from './statistics.ts';
import { Timeline } from './timeline.ts';

/** Tokens of Redis are long. */
const WIDTH = 28;
/** Beside this file, as it is: built or not. */
const FILE = import.meta.url.endsWith('.ts') ? 'service-main.ts' : 'service-main.js';

/** What the processes have told so far. */
class Overview {
  readonly statistics = new Statistics([]);
  private readonly last = NAMES.map((name) => ({
    done: 0,
    handoffs: 0,
    glimpse: { name, waiting: 0 } as Glimpse,
  }));

  constructor(private readonly watch: (done: number, glimpses: readonly Glimpse[]) => void) {}

  get handoffs(): number {
    return this.last.reduce((sum, { handoffs }) => sum + handoffs, 0);
  }

  hear(index: number, told: Told): void {
    if (told.what === 'progress') this.last[index] = told;
    if (told.what === 'finished') this.statistics.add(told.statistics);
    const done = this.last.reduce((sum, one) => sum + one.done, 0);
    if (told.what === 'progress')
      this.watch(
        done,
        this.last.map(({ glimpse }) => glimpse),
      );
  }
}

/** Starts all services, and lets them begin at the same moment. @returns the ms from then on */
async function post(how: string, url: string, key: string, overview: Overview): Promise<number> {
  const file = fileURLToPath(new URL(FILE, import.meta.url));
  const children = NAMES.map((_, index) => fork(file, [url, key, String(index), how]));
  const ended = children.map(async (child) => {
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`A service ended with ${code}.`);
  });
  const ready = children.map((child, index) => heard(child, index, overview));
  try {
    await Promise.race([Promise.all(ready), Promise.all(ended)]);
    return await timed(async () => {
      for (const child of children) child.send('begin');
      await Promise.all(ended);
    });
  } finally {
    for (const child of children) child.kill();
  }
}

function heard(child: ChildProcess, index: number, overview: Overview): Promise<void> {
  return new Promise((resolve) => {
    child.on('message', (told: Told) => {
      if (told.what === 'ready') resolve();
      else overview.hear(index, told);
    });
  });
}

async function connect(url: string): Promise<Redis> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => {});
  await client.connect().catch((error: unknown) => {
    throw new Error(`No Redis at ${new URL(url).host} (REDIS_URL).`, { cause: error });
  });
  return client;
}

/** The same transfers twice, by a process for each service: without locks, and with them. */
export async function demonstrate(url: string): Promise<void> {
  const client = await connect(url);
  const ledger = new RedisLedger(client, `holdfast-demo:${randomUUID()}`);
  const { key } = ledger;
  const transfers = readTransfers();
  const books = async (
    how: string,
    overview: Overview,
  ): Promise<{ audit: Audit; took: number }> => {
    await ledger.open();
    const took = await post(how, url, key, overview);
    return { audit: await ledger.audit(transfers), took };
  };
  try {
    const silent = new Overview(() => {});
    say(headline(transfers.length, ledger.size, `${NAMES.length} processes at once`));
    say(`\n${paint('bold', '1. Without locks')}`);
    const careless = await books('unlocked', silent);
    say(`   ${verdict(careless.audit)} ${paint('dim', `(${seconds(careless.took)})`)}`);

    say(`\n${paint('bold', '2. With a lock on both accounts of each transfer')}`);
    const services = NAMES.map((name) => ({ name }));
    const timeline = new Timeline(services, () => overview.handoffs, WIDTH);
    const overview: Overview = new Overview(timeline.watch);
    const { audit, took } = await books('locked', overview);
    const { statistics } = overview;
    conclude({ damage: careless.audit, audit, statistics, transfers: transfers.length, took });
  } finally {
    await ledger.close();
    client.disconnect();
  }
}
