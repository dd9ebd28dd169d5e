import { setTimeout as sleep } from 'node:timers/promises';
import { guard } from '@holdfast/bullmq';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { atLeast, atMost, type Goal } from '../goals.ts';
import { median, quick } from '../harness.ts';
import { table } from '../report.ts';
import { CountedRedis, makeLocker, type Data } from './variants.ts';

const JOBS = quick ? 400 : 1_000;
const ROUNDS = quick ? 3 : 7;
const CONCURRENCIES = [10, 50, 200];
/** Without order, jobs of other keys never wait for each other: what order costs is seen beside it. */
const GOAL = { share: 0.8, calls: 2, scripts: 4 };

interface Measured {
  readonly rate: number;
  /** Of the key function, per job. */
  readonly calls: number;
  /** Of the order, per job. */
  readonly scripts: number;
  /** Of Redis, those of BullMQ and of the locks too, per job. */
  readonly commands: number;
}

async function commandsOf(redis: Redis): Promise<number> {
  const stats = await redis.info('commandstats');
  return [...stats.matchAll(/calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
}

/** Jobs that each have a key of their own, which takes 5 to 10 ms to tell. */
async function measure(
  ordered: boolean,
  concurrency: number,
  server: { port: number },
): Promise<Measured> {
  const redis = new Redis(server.port, { maxRetriesPerRequest: null });
  const connection = { host: '127.0.0.1', port: server.port };
  const queue = new Queue<Data>(`slow-keys-${performance.now()}`, { connection });
  await queue.addBulk(
    Array.from({ length: JOBS }, (_, n) => ({ name: 'job', data: { key: `key-${n}`, n } })),
  );
  const counted = new CountedRedis(redis);
  const locker = makeLocker(redis);
  let calls = 0;
  const key = async ({ data }: { data: Data }): Promise<string> => {
    calls += 1;
    await sleep(5 + Math.random() * 5);
    return data.key;
  };
  const order = ordered ? { queue, redis: counted } : undefined;
  const processor = guard<Data>({ locker, key, order }, async () => {});
  const worker = new Worker(queue.name, processor, { connection, concurrency, autorun: false });
  await worker.waitUntilReady();
  await redis.config('RESETSTAT');
  const begun = performance.now();
  let done = 0;
  await new Promise<void>((resolve) => {
    worker.on('completed', () => {
      done += 1;
      if (done === JOBS) resolve();
    });
    void worker.run();
  });
  const ms = performance.now() - begun;
  const commands = await commandsOf(redis);
  await worker.close();
  await locker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  redis.disconnect();
  return {
    rate: JOBS / (ms / 1_000),
    calls: calls / JOBS,
    scripts: counted.scripts / JOBS,
    commands: commands / JOBS,
  };
}

/** What the order costs jobs that have nothing to do with each other, while their keys take a while. */
export async function measureSlowKeys(server: { port: number }): Promise<Goal[]> {
  const goals: Goal[] = [];
  const rows: string[][] = [];
  for (const concurrency of CONCURRENCIES) {
    const found = { ordered: [] as Measured[], unordered: [] as Measured[] };
    await measure(true, concurrency, server);
    for (let round = 0; round < ROUNDS; round++) {
      found.ordered.push(await measure(true, concurrency, server));
      found.unordered.push(await measure(false, concurrency, server));
    }
    const of = (which: keyof typeof found, what: keyof Measured): number =>
      median(found[which].map((measured) => measured[what]));
    // Of neighbours in time, which other load on the machine hits alike.
    const share = median(
      found.ordered.map(({ rate }, round) => rate / (found.unordered[round]?.rate ?? Infinity)),
    );
    const at = `${concurrency} jobs at a time`;
    goals.push(
      atLeast(`${at}: jobs a second to without order`, share, GOAL.share),
      atMost(`${at}: key calls a job`, of('ordered', 'calls'), GOAL.calls, ''),
      atMost(`${at}: scripts a job`, of('ordered', 'scripts'), GOAL.scripts, ''),
    );
    rows.push([
      String(concurrency),
      of('ordered', 'rate').toFixed(0),
      of('unordered', 'rate').toFixed(0),
      share.toFixed(2),
      of('ordered', 'calls').toFixed(2),
      of('ordered', 'scripts').toFixed(2),
      of('ordered', 'commands').toFixed(0),
      of('unordered', 'commands').toFixed(0),
    ]);
  }
  table(
    `BullMQ: ${JOBS} jobs of as many keys, which take 5-10 ms to tell; jobs a second, and per job`,
    [
      'at a time',
      'with order',
      'without',
      'share',
      'key calls',
      'scripts',
      'commands',
      'commands without',
    ],
    rows,
  );
  return goals;
}
