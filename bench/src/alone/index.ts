import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  ensureBinaries,
  MEMCACHED,
  REDIS,
  startMemcached,
  startRedis,
  type TestServer,
} from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { median, quick, table } from '../harness.ts';
import type { Figures, Measured } from './child.ts';
import { variants, type Store } from './variants.ts';

const child = fileURLToPath(new URL('../../dist/alone/child.js', import.meta.url));

/** How long each process measures, in ms, and how many processes there are per variant. */
interface Length {
  readonly fresh: number;
  readonly steady: number;
  readonly rounds: number;
}

/** One process's figures, and what the server spent on it. */
interface Run extends Measured {
  /** CPU of the server per lock and release, in µs. */
  readonly serverCpu: number;
  /** Commands that the server ran per lock and release, those in scripts included. */
  readonly commands: number;
}

const NOTHING = async (): Promise<{ serverCpu: number; commands: number }> => ({
  serverCpu: 0,
  commands: 0,
});

async function inProcess<T>(args: readonly string[], flags: readonly string[] = []): Promise<T> {
  const started = spawn(process.execPath, [...flags, child, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  started.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(started, 'close')) as [number];
  if (code !== 0) throw new Error(`The process for ${args.join(' ')} ended with ${code}.`);
  return JSON.parse(output) as T;
}

/** CPU time of a process so far, in µs; 0 where there is no /proc. */
function cpuOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    // User and system time, in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return 0;
  }
}

/** What a Redis server has spent and run between two calls. */
async function watchRedis(server: TestServer): Promise<() => ReturnType<typeof NOTHING>> {
  const client = new Redis(server.port, server.host);
  const commands = async (): Promise<number> => {
    const stats = await client.info('commandstats');
    // What scripts run is counted by its own name too; the script itself is one command more.
    return [...stats.matchAll(/calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
  };
  const before = { cpu: cpuOf(server.pid), commands: await commands() };
  return async () => {
    const spent = { serverCpu: cpuOf(server.pid) - before.cpu, commands: await commands() };
    client.disconnect();
    return { ...spent, commands: spent.commands - before.commands };
  };
}

/** Runs all variants of a store in turns, so that the machine's moods hit all of them alike. */
async function measure(store: Store, work: string, length: Length): Promise<Map<string, Run>> {
  const runs = new Map<string, Run[]>();
  for (let round = 0; round < length.rounds; round++) {
    for (const name of Object.keys(variants[store])) {
      const server = await startFor(store);
      try {
        const address = addressOf(store, server);
        const spent = store === 'redis' && server ? await watchRedis(server) : NOTHING;
        const args = [store, work, name, address, String(length.fresh), String(length.steady)];
        const measured = await inProcess<Measured>(args);
        const locks = measured.fresh.locks + measured.steady.locks;
        const { serverCpu, commands } = await spent();
        const one = { ...measured, serverCpu: serverCpu / locks, commands: commands / locks };
        runs.set(name, [...(runs.get(name) ?? []), one]);
      } finally {
        await server?.stop();
      }
    }
  }
  return new Map([...runs].map(([name, all]) => [name, middle(all)]));
}

async function startFor(store: Store): Promise<TestServer | undefined> {
  if (store === 'memory') return undefined;
  const [binary] = (await ensureBinaries([store === 'redis' ? REDIS : MEMCACHED])) as [string];
  return store === 'redis' ? startRedis(binary) : startMemcached(binary);
}

function addressOf(store: Store, server: TestServer | undefined): string {
  if (server === undefined) return '';
  return `${store === 'redis' ? 'redis://' : ''}${server.host}:${server.port}`;
}

/** The median of each figure. */
function middle(runs: readonly Run[]): Run {
  const of = (pick: (one: Run) => number): number => median(runs.map(pick));
  const figures = (window: 'fresh' | 'steady'): Figures => ({
    locks: of((one) => one[window].locks),
    perSecond: of((one) => one[window].perSecond),
    p50: of((one) => one[window].p50),
    p99: of((one) => one[window].p99),
    cpu: of((one) => one[window].cpu),
  });
  return {
    fresh: figures('fresh'),
    steady: figures('steady'),
    serverCpu: of((one) => one.serverCpu),
    commands: of((one) => one.commands),
  };
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const tenths = (value: number): string => value.toFixed(1);

function print(store: Store, work: string, runs: ReadonlyMap<string, Run>, bytes: Bytes): void {
  const isRedis = store === 'redis';
  const head = ['', 'first 2 s', 'p50 µs', 'p99 µs', 'steady', 'p50 µs', 'p99 µs', 'CPU µs'];
  if (isRedis) head.push('server CPU µs', 'commands');
  head.push('bytes');
  const rows: string[][] = [];
  for (const [name, { fresh, steady, serverCpu, commands }] of runs) {
    const row = [name];
    for (const { perSecond, p50, p99 } of [fresh, steady]) {
      row.push(`${whole(perSecond)}/s`, tenths(p50), tenths(p99));
    }
    row.push(tenths(steady.cpu));
    if (isRedis) row.push(tenths(serverCpu), tenths(commands));
    row.push(bytes.has(name) ? whole(bytes.get(name) as number) : '');
    rows.push(row);
  }
  table(`${store}: ${work}, lock + release`, head, rows);
}

type Bytes = ReadonlyMap<string, number>;

/** Bytes allocated per lock and release; the young generation is so large that nothing is collected. */
async function allocations(store: Store): Promise<Bytes> {
  const found = new Map<string, number>();
  const flags = ['--expose-gc', '--max-semi-space-size=1024', '--min-semi-space-size=1024'];
  for (const name of Object.keys(variants[store])) {
    const server = await startFor(store);
    try {
      const args = [store, 'allocated', name, addressOf(store, server), '0', '0'];
      found.set(name, await inProcess<number>(args, flags));
    } finally {
      await server?.stop();
    }
  }
  return found;
}

/** A goal, the figure that it is about, and whether that reaches it. */
interface Goal {
  readonly what: string;
  readonly figure: string;
  readonly goal: string;
  readonly reached: boolean;
}

function atLeast(what: string, ratio: number, goal: number): Goal {
  return { what, figure: `${ratio.toFixed(2)} ×`, goal: `≥ ${goal} ×`, reached: ratio >= goal };
}

function atMost(what: string, value: number, goal: number, unit = ' ×'): Goal {
  return {
    what,
    figure: `${value.toFixed(2)}${unit}`,
    goal: `≤ ${goal}${unit}`,
    reached: value <= goal,
  };
}

const OURS = ['holdfast (ESM)', 'holdfast (CJS)'];

function redisGoals(alone: ReadonlyMap<string, Run>, parallel: ReadonlyMap<string, Run>): Goal[] {
  const raw = alone.get('raw ioredis') as Run;
  const rawParallel = parallel.get('raw ioredis') as Run;
  return [...OURS, ...OURS.map((name) => `${name}, options`)].flatMap((name) => {
    const ours = alone.get(name) as Run;
    const many = parallel.get(name) as Run;
    const of = `Redis, one task, ${name}`;
    return [
      atLeast(`${of}: first 2 s to raw`, ours.fresh.perSecond / raw.fresh.perSecond, 0.85),
      atMost(`${of}: first 2 s, p99 to raw's`, ours.fresh.p99 / raw.fresh.p99, 1.5),
      atLeast(`${of}: steady to raw`, ours.steady.perSecond / raw.steady.perSecond, 0.92),
      atMost(`${of}: client CPU to raw's`, ours.steady.cpu / raw.steady.cpu, 1.15),
      atMost(`${of}: server CPU to raw's`, ours.serverCpu / raw.serverCpu, 1.15),
      atMost(`${of}: commands`, ours.commands, 6, ''),
      atLeast(
        `64 keys, ${name}: first 2 s to raw`,
        many.fresh.perSecond / rawParallel.fresh.perSecond,
        1.6,
      ),
    ];
  });
}

/** The better of two builds of async-mutex, and async-lock. */
function memoryGoals(work: string, runs: ReadonlyMap<string, Run>): Goal[] {
  const fastest = (window: 'fresh' | 'steady'): number =>
    Math.max(
      ...[...runs]
        .filter(([name]) => !name.startsWith('holdfast'))
        .map(([, one]) => one[window].perSecond),
    );
  return OURS.flatMap((name) => {
    const bare = runs.get(name) as Run;
    const options = runs.get(`${name}, options`) as Run;
    const of = `memory, ${work}, ${name}`;
    return [
      atLeast(`${of}: first 2 s to the fastest`, bare.fresh.perSecond / fastest('fresh'), 1),
      atLeast(`${of}: steady to the fastest`, bare.steady.perSecond / fastest('steady'), 1),
      atMost(`${of}: an options object costs`, options.steady.p50 - bare.steady.p50, 0.3, ' µs'),
    ];
  });
}

function memcachedGoals(runs: ReadonlyMap<string, Run>): Goal[] {
  const raw = runs.get('raw memjs') as Run;
  return OURS.map((name) => {
    const ratio = (runs.get(name) as Run).steady.perSecond / raw.steady.perSecond;
    return atLeast(`memcached, one task, ${name}: steady to memjs`, ratio, 0.9);
  });
}

const FULL: Length = { fresh: 2_000, steady: 10_000, rounds: 3 };
const QUICK: Length = { fresh: 2_000, steady: 2_000, rounds: 1 };

/** Locks that nobody else wants, in processes as users start them: from the first lock on, and steady. */
export async function run(): Promise<boolean> {
  const length = quick ? QUICK : FULL;
  const goals: Goal[] = [];
  const all = async (store: Store, work: string, bytes: Bytes): Promise<Map<string, Run>> => {
    const runs = await measure(store, work, length);
    print(store, work, runs, bytes);
    return runs;
  };
  const redisBytes = await allocations('redis');
  const alone = await all('redis', 'one task', redisBytes);
  goals.push(...redisGoals(alone, await all('redis', '64 keys', new Map())));
  const memoryBytes = await allocations('memory');
  for (const work of ['sequential', '1,000 waiters']) {
    const bytes = work === 'sequential' ? memoryBytes : new Map<string, number>();
    goals.push(...memoryGoals(work, await all('memory', work, bytes)));
  }
  const memcachedBytes = await allocations('memcached');
  goals.push(...memcachedGoals(await all('memcached', 'one task', memcachedBytes)));
  table(
    'Goals',
    ['', 'figure', 'goal', ''],
    goals.map(({ what, figure, goal, reached }) => [
      what,
      figure,
      goal,
      reached ? 'reached' : 'MISSED',
    ]),
  );
  return goals.every(({ reached }) => reached);
}
