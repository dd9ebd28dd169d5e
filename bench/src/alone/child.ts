/**
 * One variant of one piece of work in a fresh process, as a service meets it: nothing is pinned and
 * nothing runs in before the first lock. Prints its {@link Measured} as JSON.
 *
 * `child.js <store> <work> <variant> <address> <fresh ms> <steady ms>`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSince } from '../usage.ts';
import { variants, type Start, type Store, type Turn } from './variants.ts';

/** The figures of one window of time. */
export interface Figures {
  /** Locks taken and released. */
  readonly locks: number;
  readonly perSecond: number;
  /** From the call to the end of the release, in µs; for work in batches, the mean of a batch. */
  readonly p50: number;
  readonly p99: number;
  /** CPU of this process per lock and release, in µs. */
  readonly cpu: number;
}

export interface Measured {
  /** From the first lock on. */
  readonly fresh: Figures;
  readonly steady: Figures;
}

const [store, work, variant, address, fresh, steady] = process.argv.slice(2) as [
  Store,
  string,
  string,
  string,
  string,
  string,
];

const LONGEST = 8_000_000;

/** Records how long each operation took, in two windows one after the other. */
class Recorder {
  private readonly latencies = new Float64Array(LONGEST);
  private recorded = 0;
  private locks = 0;
  private windowFrom = performance.now();
  private cpu = process.cpuUsage();
  private freshFigures: Figures | undefined;
  private readonly endOfFresh = this.windowFrom + Number(fresh);
  private readonly endAt = this.endOfFresh + Number(steady);

  /** @returns whether to go on */
  record(startedAt: number, count = 1): boolean {
    const now = performance.now();
    if (this.recorded < LONGEST) this.latencies[this.recorded++] = (now - startedAt) / count;
    this.locks += count;
    if (this.freshFigures === undefined && now >= this.endOfFresh) {
      this.freshFigures = this.close(now);
    }
    return now < this.endAt;
  }

  end(): Measured {
    return { fresh: this.freshFigures as Figures, steady: this.close(performance.now()) };
  }

  private close(now: number): Figures {
    const used = cpuSince(this.cpu);
    const { locks } = this;
    const sorted = this.latencies.subarray(0, this.recorded).toSorted();
    const at = (share: number): number => (sorted[Math.floor(sorted.length * share)] ?? 0) * 1_000;
    const figures = {
      locks,
      perSecond: (locks / (now - this.windowFrom)) * 1_000,
      p50: at(0.5),
      p99: at(0.99),
      cpu: used / locks,
    };
    this.recorded = 0;
    this.locks = 0;
    this.cpu = process.cpuUsage();
    this.windowFrom = performance.now();
    return figures;
  }
}

const works: Record<string, (turn: Turn, recorder: Recorder) => Promise<void>> = {
  /** One task that takes one lock after the other. */
  'one task': async (turn, recorder) => {
    for (let round = 0; ; round++) {
      const startedAt = performance.now();
      await turn(`key:${round % 100}`);
      if (!recorder.record(startedAt)) return;
    }
  },

  /** 64 tasks with a key each. */
  '64 keys': async (turn, recorder) => {
    const task = async (_: unknown, index: number): Promise<void> => {
      for (;;) {
        const startedAt = performance.now();
        await turn(`key:${index}`);
        if (!recorder.record(startedAt)) return;
      }
    };
    await Promise.all(Array.from({ length: 64 }, task));
  },

  /** As `one task`, a hundred locks per reading of the clock, which takes as long as a lock in memory. */
  sequential: async (turn, recorder) => {
    for (;;) {
      const startedAt = performance.now();
      for (let round = 0; round < 100; round++) await turn('key');
      if (!recorder.record(startedAt, 100)) return;
    }
  },

  /** 1,000 tasks that want one key at once, again and again. */
  '1,000 waiters': async (turn, recorder) => {
    for (;;) {
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: 1_000 }, () => turn('key')));
      if (!recorder.record(startedAt, 1_000)) return;
    }
  },
};

/** Bytes allocated per lock and release: the heap's growth while no collection runs. */
async function allocated(turn: Turn, count: number): Promise<number> {
  for (let round = 0; round < 2_000; round++) await turn('key');
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let round = 0; round < count; round++) await turn('key');
  return (process.memoryUsage().heapUsed - before) / count;
}

async function heapUsed(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await sleep(10);
  }
  return process.memoryUsage().heapUsed;
}

/** Bytes of heap per lock that is held, of so many. */
async function held({ hold }: Turn, count: number): Promise<number> {
  if (hold === undefined) throw new Error(`Nothing holds on ${store}.`);
  const keys = Array.from({ length: count }, (_, index) => `key:${index}`);
  const locks: unknown[] = Array.from({ length: count }, () => null);
  await hold('warm-up');
  const before = await heapUsed();
  for (const [index, key] of keys.entries()) locks[index] = await hold(key);
  return ((await heapUsed()) - before) / locks.length;
}

const start = (variants[store] as Record<string, Start>)[variant] as Start;
const turn = await start(address);
let answer: unknown;
if (work === 'allocated') {
  answer = await allocated(turn, 20_000);
} else if (work === 'held') {
  answer = await held(turn, 100_000);
} else {
  const recorder = new Recorder();
  await (works[work] as (turn: Turn, recorder: Recorder) => Promise<void>)(turn, recorder);
  answer = recorder.end();
}
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit());
