import { atLeast, atMost, type Goal } from '../goals.ts';
import { quick } from '../harness.ts';
import { table } from '../report.ts';
import { allocated, held, measure, type Bytes, type Length, type Run } from './measure.ts';
import type { Store } from './variants.ts';

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const tenths = (value: number): string => value.toFixed(1);

type Runs = ReadonlyMap<string, Run>;

const LENGTH: Length = quick
  ? { fresh: 2_000, steady: 2_000, rounds: 1 }
  : { fresh: 2_000, steady: 10_000, rounds: 3 };

/** Measures and prints; each column of `bytes` has a title. */
async function all(
  store: Store,
  work: string,
  bytes: Readonly<Record<string, Bytes>> = {},
): Promise<Runs> {
  const runs = await measure(store, work, LENGTH);
  const isRedis = store === 'redis';
  const head = ['', 'first 2 s', 'p50 µs', 'p99 µs', 'steady', 'p50 µs', 'p99 µs', 'CPU µs'];
  if (isRedis) head.push('server CPU µs', 'commands');
  head.push(...Object.keys(bytes));
  const rows: string[][] = [];
  for (const [name, { fresh, steady, serverCpu, commands }] of runs) {
    const row = [name];
    for (const { perSecond, p50, p99 } of [fresh, steady]) {
      row.push(`${whole(perSecond)}/s`, tenths(p50), tenths(p99));
    }
    row.push(tenths(steady.cpu));
    if (isRedis) row.push(tenths(serverCpu), tenths(commands));
    row.push(...Object.values(bytes).map((of) => whole(of.get(name) as number)));
    rows.push(row);
  }
  table(`${store}: ${work}, lock + release`, head, rows);
  return runs;
}

const FORMATS = ['holdfast (ESM)', 'holdfast (CJS)'];
const OURS = FORMATS.flatMap((name) => [name, `${name}, options`]);

const ratio = (runs: Runs, name: string, to: string, figure: (run: Run) => number): number =>
  figure(runs.get(name) as Run) / figure(runs.get(to) as Run);

/** One that nobody else wants, on Redis, beside `SET NX PX` and a compare-and-delete. */
export async function redis(): Promise<Goal[]> {
  const one = await all('redis', 'one task', { bytes: await allocated('redis') });
  const many = await all('redis', '64 keys');
  return OURS.flatMap((name) => {
    const toRaw = (runs: Runs, figure: (run: Run) => number): number =>
      ratio(runs, name, 'raw ioredis', figure);
    const of = `one task, ${name}`;
    return [
      atLeast(
        `${of}: first 2 s to raw`,
        toRaw(one, ({ fresh }) => fresh.perSecond),
        0.85,
      ),
      atMost(
        `${of}: first 2 s, p99 to raw's`,
        toRaw(one, ({ fresh }) => fresh.p99),
        1.5,
      ),
      atLeast(
        `${of}: steady to raw`,
        toRaw(one, ({ steady }) => steady.perSecond),
        0.92,
      ),
      atMost(
        `${of}: client CPU to raw's`,
        toRaw(one, ({ steady }) => steady.cpu),
        1.15,
      ),
      atMost(
        `${of}: server CPU to raw's`,
        toRaw(one, ({ serverCpu }) => serverCpu),
        1.15,
      ),
      // Those of the start, some ten in all, are no part of a lock.
      atMost(`${of}: commands`, Number((one.get(name) as Run).commands.toFixed(2)), 6, ''),
      atLeast(
        `64 keys, ${name}: first 2 s to raw`,
        toRaw(many, ({ fresh }) => fresh.perSecond),
        1.6,
      ),
    ];
  });
}

/** The memory store beside async-mutex in both of its builds, and async-lock. */
export async function memory(): Promise<Goal[]> {
  const heap = await held('memory');
  const bytes = { bytes: await allocated('memory'), 'bytes per held lock': heap };
  const goals: Goal[] = [];
  for (const work of ['sequential', '1,000 waiters']) {
    const runs = await all('memory', work, work === 'sequential' ? bytes : {});
    const fastest = (window: 'fresh' | 'steady'): number =>
      Math.max(
        ...[...runs]
          .filter(([name]) => !name.startsWith('holdfast'))
          .map(([, run]) => run[window].perSecond),
      );
    for (const name of FORMATS) {
      const bare = runs.get(name) as Run;
      const options = runs.get(`${name}, options`) as Run;
      const of = `${work}, ${name}`;
      const dearer = options.steady.p50 - bare.steady.p50;
      goals.push(
        atLeast(`${of}: first 2 s to the fastest`, bare.fresh.perSecond / fastest('fresh'), 1),
        atLeast(`${of}: steady to the fastest`, bare.steady.perSecond / fastest('steady'), 1),
        atMost(`${of}: an options object costs`, dearer, 0.3, ' µs'),
      );
    }
  }
  const theirs = heap.get('async-mutex (CJS)') as number;
  for (const name of OURS) {
    const lean = (heap.get(name) as number) / theirs;
    goals.push(atMost(`heap per held lock, ${name}, to async-mutex's`, lean, 1));
  }
  return goals;
}

/** The memcached store beside `add` and `delete` of memjs. */
export async function memcached(): Promise<Goal[]> {
  const bytes = { bytes: await allocated('memcached') };
  const goals: Goal[] = [];
  for (const work of ['one task', '64 keys']) {
    const runs = await all('memcached', work, work === 'one task' ? bytes : {});
    for (const name of OURS) {
      const toRaw = (window: 'fresh' | 'steady'): number =>
        ratio(runs, name, 'raw memjs', (run) => run[window].perSecond);
      const of = `${work}, ${name}`;
      goals.push(
        atLeast(`${of}: first 2 s to memjs`, toRaw('fresh'), 0.9),
        atLeast(`${of}: steady to memjs`, toRaw('steady'), 0.9),
      );
    }
  }
  return goals;
}
