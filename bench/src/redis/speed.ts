import { startRedis } from '@holdfast/test-servers';
import { inTurns, median, openChild, type Measurer } from '../harness.ts';
import { namesOn } from './clients.ts';
import { pin } from './pin.ts';
import { child, compared, details, PEERS, round, type Row } from './results.ts';

// Fast retries change nothing where nobody waits.
const NAMES = ['holdfast', 'raw ioredis', ...PEERS.filter((name) => !name.endsWith('fast'))];

/** How often each is measured, after so many times for the compilers; and how often all begin anew. */
const MEASURED = 20;
const WARM_UPS = 10;
const STARTS = 3;

/**
 * One lock after the other. On one CPU that would be no round trip but the work of both sides, and how
 * long one takes otherwise depends on where the machine puts them: so each side has a CPU of its own.
 */
export async function sequential(binary: string): Promise<Row> {
  const server = await startRedis(binary);
  try {
    const apart = pin(server.pid, 1);
    const where = apart ? 'a CPU for each side' : 'on any CPU';
    return await toRaw('sequential', where, `redis://${server.host}:${server.port}`, 0.9);
  } finally {
    await server.stop();
  }
}

/** Many locks at once that nobody contends for. */
export async function parallel(url: string): Promise<Row[]> {
  return [await toRaw('64 in parallel', 'on any CPU', url, 1.4)];
}

/** Ours by a client library, beside the library's own commands. No goals: each library has its own. */
export async function onClient(client: string, binary: string): Promise<void> {
  for (const work of ['sequential', '64 in parallel']) {
    const server = await startRedis(binary);
    try {
      const apart = work === 'sequential' && pin(server.pid, 1);
      const names = namesOn(client);
      const url = `redis://${server.host}:${server.port}`;
      const starts: Record<string, number>[] = [];
      for (let start = 0; start < STARTS; start++) starts.push(await sideBySide(names, work, url));
      const us = (name: string): number => median(starts.map((one) => one[name] ?? Number.NaN));
      const [, raw] = names;
      details(
        `${work}: lock + release, ${apart ? 'a CPU for each side' : 'on any CPU'}`,
        ['µs', `rate to raw ${client}`],
        new Map(names.map((name) => [name, [us(name), us(raw) / us(name)]])),
      );
    } finally {
      await server.stop();
    }
  }
}

/**
 * What is compared are few per cent: so turns are short, that the machine's moods hit all alike, and
 * nobody's luck with a process lasts.
 */
async function toRaw(work: string, where: string, url: string, goal: number): Promise<Row> {
  const starts: Record<string, number>[] = [];
  for (let start = 0; start < STARTS; start++) starts.push(await sideBySide(NAMES, work, url));
  const us = (name: string): number => median(starts.map((one) => one[name] ?? Number.NaN));
  const raw = us('raw ioredis');
  details(
    `${work}: lock + release, ${where}`,
    ['µs', 'to raw ioredis'],
    new Map(NAMES.map((name) => [name, [us(name), raw / us(name)]])),
  );
  const ours = us('holdfast');
  const figures = [`${round(ours)} µs`, `raw ${round(raw)} µs`] as const;
  return compared(work, 'rate', figures, raw / ours, goal);
}

/** Measures all in turns, each in one process. */
async function sideBySide(
  names: readonly string[],
  work: string,
  url: string,
): Promise<Record<string, number>> {
  const children = new Map(names.map((name) => [name, openChild(child, [name, work, url])]));
  const measure = (name: string): Promise<number> => (children.get(name) as Measurer).measure();
  try {
    await inTurns(names, WARM_UPS, measure);
    return await inTurns(names, MEASURED, measure);
  } finally {
    await Promise.all(Array.from(children.values(), (one) => one.end()));
  }
}
