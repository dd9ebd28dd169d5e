import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { atLeast, atMost, type Goal } from '../goals.ts';
import { median, quick } from '../harness.ts';
import { table } from '../report.ts';
import { onRedis } from '../servers.ts';
import { measureSlowKeys } from './slow-keys.ts';
import {
  CountedRedis,
  makeLocker,
  Observer,
  variants,
  type Data,
  type Variant,
} from './variants.ts';

const JOBS = quick ? 150 : 400;
const WORKERS = 2;
const CONCURRENCY = 10;
const ROUNDS = quick ? 1 : 3;
/** How many keys there are. */
const SPREADS = [1, 20, 200];
/** The jobs of the hot key, which come first; the others keep the queue full. */
const HOT = 6;
/** What a job takes, in ms. */
const MS = 2;

const GUARDED = 'guard with order';
const UNORDERED = 'guard without order';
const GOAL = { share: 0.8, starts: 3, scripts: 4, place: 1.2 };

/**
 * Where the last job of the hot key would be among the completions if all others that may run beside it
 * took turns with it: one job of each key runs at a time.
 */
function soonest(keys: number): number {
  const atOnce = Math.min(WORKERS * CONCURRENCY, keys + 1);
  return (HOT - 1) * atOnce + 1;
}

interface Measured {
  readonly rate: number;
  readonly starts: number;
  readonly scripts: number;
  /** Of the completions, where the last job of the hot key is. */
  readonly place: number;
  readonly inversions: number;
  readonly overlaps: number;
}

function jobs(keys: number): Data[] {
  return Array.from({ length: JOBS }, (_, n) => ({ key: n < HOT ? 'hot' : `key-${n % keys}`, n }));
}

async function measure(variant: Variant, keys: number, port: number): Promise<Measured> {
  const redis = new Redis(port, { maxRetriesPerRequest: null });
  const connection = { host: '127.0.0.1', port };
  const name = `${variant.replaceAll(' ', '-')}-${keys}-${performance.now()}`;
  const queue = new Queue<Data>(name, { connection });
  const observer = new Observer(MS);
  const counted = new CountedRedis(redis);
  const lockers = Array.from({ length: WORKERS }, () => makeLocker(redis));
  await queue.addBulk(jobs(keys).map((data) => ({ name: 'job', data })));
  const workers = lockers.map((locker) => {
    const processor = variants[variant]({ queue, redis: counted, locker, work: observer.work });
    const options = { connection, concurrency: CONCURRENCY, autorun: false };
    return new Worker<Data, void>(queue.name, processor, options);
  });
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  const begun = performance.now();
  let done = 0;
  await new Promise<void>((resolve) => {
    for (const worker of workers) {
      worker.on('completed', () => {
        done += 1;
        if (done === JOBS) resolve();
      });
      void worker.run();
    }
  });
  const ms = performance.now() - begun;
  const all = await queue.getJobs(['completed']);
  const starts = all.reduce((sum, job) => sum + job.attemptsStarted, 0) / JOBS;
  await Promise.all(workers.map((worker) => worker.close()));
  await Promise.all(lockers.map((locker) => locker.close()));
  await queue.obliterate({ force: true });
  await queue.close();
  redis.disconnect();
  return {
    rate: JOBS / (ms / 1_000),
    starts,
    scripts: counted.scripts / JOBS,
    place: observer.ended.findLastIndex(({ key }) => key === 'hot') + 1,
    inversions: observer.inversions,
    overlaps: observer.overlaps,
  };
}

/** Each way, with so many keys: its row of the table, and the goals of the guard. */
async function measureAll(keys: number, port: number) {
  const names = Object.keys(variants) as Variant[];
  const all = new Map(names.map((name) => [name, [] as Measured[]]));
  console.error(`BullMQ with ${keys} ${keys === 1 ? 'key' : 'keys'}: ${ROUNDS} rounds …`);
  // In turns, so that whatever else the machine does hits all of them alike.
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) all.get(name)?.push(await measure(name, keys, port));
  }
  const of = (name: Variant, what: keyof Measured): number =>
    median((all.get(name) ?? []).map((measured) => measured[what]));
  const rows = names.map((name) => [
    name,
    String(keys),
    of(name, 'rate').toFixed(0),
    `${(of(name, 'rate') / of(UNORDERED, 'rate')).toFixed(2)} ×`,
    of(name, 'starts').toFixed(2),
    of(name, 'scripts').toFixed(2),
    `${of(name, 'place').toFixed(0)} (${soonest(keys)})`,
    `${(of(name, 'inversions') * 100).toFixed(1)} %`,
    of(name, 'overlaps').toFixed(0),
  ]);
  const at = `${keys} ${keys === 1 ? 'key' : 'keys'}`;
  const share = of(GUARDED, 'rate') / of(UNORDERED, 'rate');
  const goals = [
    atLeast(`${at}: jobs a second to without order`, share, GOAL.share),
    atMost(`${at}: starts a job`, of(GUARDED, 'starts'), GOAL.starts, ''),
    atMost(`${at}: scripts a job`, of(GUARDED, 'scripts'), GOAL.scripts, ''),
    atMost(
      `${at}: the hot key's last job to the soonest place`,
      of(GUARDED, 'place') / soonest(keys),
      GOAL.place,
    ),
    atMost(`${at}: inversions`, of(GUARDED, 'inversions'), 0, ''),
    atMost(`${at}: overlaps`, of(GUARDED, 'overlaps'), 0, ''),
  ];
  return { rows, goals };
}

/** How jobs get done of which one per key runs at a time, with few keys and with many. */
export async function run(): Promise<Goal[]> {
  return onRedis(async (server) => {
    const found: Awaited<ReturnType<typeof measureAll>>[] = [];
    for (const keys of SPREADS) found.push(await measureAll(keys, server.port));
    table(
      `BullMQ: ${JOBS} jobs of ${MS} ms, after ${HOT} of a hot key; ${WORKERS} workers x ${CONCURRENCY}; ` +
        'starts, and scripts of the order, per job',
      [
        'way',
        'keys',
        'jobs a second',
        'share',
        'starts',
        'scripts',
        'hot key at (soonest)',
        'inversions',
        'overlaps',
      ],
      found.flatMap(({ rows }) => rows),
    );
    return [...found.flatMap(({ goals }) => goals), ...(await measureSlowKeys(server))];
  });
}
