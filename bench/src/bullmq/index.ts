import { ensureBinaries, REDIS, startRedis } from '@holdfast/test-servers';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { median, table, times, verdict } from '../harness.ts';
import { makeLocker, Observer, variants, type Data, type Variant } from './variants.ts';

const JOBS = 100;
const KEYS = 8;
/** The share of the jobs that are of one key. */
const HOT = 0.7;
const MS = 20;
const WORKERS = 2;
const CONCURRENCY = 4;
const ROUNDS = 5;

/** The jobs of the hot key, one after the other: nobody can be faster. */
const IDEAL = JOBS * HOT * MS;

const GOAL = { time: 1.5, starts: 3 };

interface Measured {
  readonly ms: number;
  readonly starts: number;
  readonly inversions: number;
  readonly overlaps: number;
}

function jobs(): Data[] {
  return Array.from({ length: JOBS }, (_, n) => {
    const hot = (n * 7) % 10 < HOT * 10;
    return { key: hot ? 'hot' : `key-${n % KEYS}`, n };
  });
}

async function measure(variant: Variant, port: number, round: number): Promise<Measured> {
  const redis = new Redis(port, { maxRetriesPerRequest: null });
  const connection = { host: '127.0.0.1', port };
  const queue = new Queue<Data>(`${variant.replaceAll(' ', '-')}-${round}`, { connection });
  const observer = new Observer(MS);
  const lockers = Array.from({ length: WORKERS }, () => makeLocker(redis));
  await queue.addBulk(jobs().map((data) => ({ name: 'job', data })));
  const workers = lockers.map((locker) => {
    const processor = variants[variant]({ queue, redis, locker, work: observer.work });
    const options = { connection, concurrency: CONCURRENCY, autorun: false };
    return new Worker<Data, void>(queue.name, processor, options);
  });
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  const begun = performance.now();
  let done = 0;
  const finished = new Promise<void>((resolve) => {
    for (const worker of workers) {
      worker.on('completed', () => {
        done += 1;
        if (done === JOBS) resolve();
      });
      void worker.run();
    }
  });
  await finished;
  const ms = performance.now() - begun;
  const all = await queue.getJobs(['completed']);
  const starts = all.reduce((sum, job) => sum + job.attemptsStarted, 0) / JOBS;
  await Promise.all(workers.map((worker) => worker.close()));
  await Promise.all(lockers.map((locker) => locker.close()));
  await queue.close();
  redis.disconnect();
  return { ms, starts, inversions: observer.inversions, overlaps: observer.overlaps };
}

/** How jobs of which most are of one key get done, one per key at a time. */
export async function run(): Promise<boolean> {
  const [binary = ''] = await ensureBinaries([REDIS]);
  const server = await startRedis(binary);
  const names = Object.keys(variants) as Variant[];
  const all = new Map(names.map((name) => [name, [] as Measured[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) all.get(name)?.push(await measure(name, server.port, round));
  }
  await server.stop();
  const of = (name: Variant, what: keyof Measured): number =>
    median((all.get(name) ?? []).map((measured) => measured[what]));
  const rows = names.map((name) => [
    name,
    `${of(name, 'ms').toFixed(0)} ms`,
    times(of(name, 'ms') / IDEAL),
    of(name, 'starts').toFixed(2),
    `${(of(name, 'inversions') * 100).toFixed(1)} %`,
    of(name, 'overlaps').toFixed(0),
  ]);
  const head = ['way', 'total', 'to the ideal', 'starts per job', 'inversions', 'overlaps'];
  const title =
    `BullMQ: ${JOBS} jobs of ${MS} ms, ${HOT * 100} % of them of one key, ` +
    `${WORKERS} workers x ${CONCURRENCY}; the ideal is ${IDEAL} ms`;
  table(title, head, rows);
  const guarded = 'guard with order';
  const reached =
    of(guarded, 'ms') <= IDEAL * GOAL.time &&
    of(guarded, 'starts') <= GOAL.starts &&
    of(guarded, 'inversions') === 0 &&
    of(guarded, 'overlaps') === 0;
  const goal = `at most ${GOAL.time} x the ideal, ${GOAL.starts} starts per job, no inversion`;
  console.log(`\n${guarded}: ${verdict(reached, goal)}`);
  return reached;
}
