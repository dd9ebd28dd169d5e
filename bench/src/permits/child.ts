// One variant of one piece of work, in a fresh process: `child.js <variant> <work> <url> [--count]`.
import { setTimeout as sleep } from 'node:timers/promises';
import { countRequests } from '../redis/requests.ts';
import { cpuSince, heapUsed } from '../usage.ts';
import { variants, type Take } from './variants.ts';

const [name = '', work = '', url = ''] = process.argv.slice(2);

function take(limit: number): Take {
  const make = variants[name];
  if (make === undefined) throw new Error(`There is no variant '${name}'.`);
  return make(limit, url);
}

export interface Measured {
  /** ms until all are done. */
  readonly total: number;
  /** Requests to the server, of each task. */
  readonly requests: number;
}

export interface Held {
  /** ms until all are held. */
  readonly total: number;
  /** Bytes of heap, of each. */
  readonly heap: number;
  /** While they are held, for each permit and 10 s. */
  readonly requests: number;
  /** CPU of this process in µs, likewise. */
  readonly cpu: number;
}

/** Tasks of one process on a limit of 5, all at once. `rounds` are for work that is over quickly. */
async function tasks(count: number, rounds: number): Promise<Measured> {
  const requests = countRequests();
  const acquire = take(5);
  (await acquire())();
  await sleep(50);
  const before = requests();
  const startedAt = performance.now();
  for (let round = 0; round < rounds; round++) {
    const task = async (): Promise<void> => {
      const release = await acquire();
      await release();
    };
    await Promise.all(Array.from({ length: count }, task));
  }
  const total = (performance.now() - startedAt) / rounds;
  return { total, requests: (requests() - before) / (count * rounds) };
}

/** Permits that are held and renewed. */
async function hold(count: number): Promise<Held> {
  const requests = countRequests();
  const acquire = take(count + 1);
  (await acquire())();
  const heapBefore = heapUsed();
  const startedAt = performance.now();
  const held: unknown[] = [];
  while (held.length < count) {
    held.push(...(await Promise.all(Array.from({ length: 500 }, acquire))));
  }
  const total = performance.now() - startedAt;
  const heap = ((heapUsed() - heapBefore) * 1e6) / count;
  const before = { requests: requests(), cpu: process.cpuUsage() };
  await sleep(10_000);
  const cpu = cpuSince(before.cpu);
  return {
    total,
    heap,
    requests: (requests() - before.requests) / count,
    cpu: cpu / count,
  };
}

const works: Record<string, () => Promise<unknown>> = {
  '100 tasks': () => tasks(100, url === '' ? 50 : 5),
  '1,000 waiters': () => tasks(1_000, url === '' ? 20 : 1),
  '10,000 held': () => hold(10_000),
};

const answer = await (works[work] as () => Promise<unknown>)();
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit());
