import { startRedis } from '@holdfast/test-servers';
import { inChild, inTurns, median, openChild, type Measurer } from '../harness.ts';
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
 * What is compared are few per cent, so turns are short, and nobody's luck with a process lasts.
 */
export async function sequential(binary: string): Promise<Row> {
  const server = await startRedis(binary);
  try {
    const apart = pin(server.pid, 1);
    const url = `redis://${server.host}:${server.port}`;
    const work = 'sequential';
    const starts: Record<string, number>[] = [];
    for (let start = 0; start < STARTS; start++) starts.push(await sideBySide(work, url));
    const us = Object.fromEntries(
      NAMES.map((name) => [name, median(starts.map((one) => one[name] ?? Number.NaN))]),
    );
    return toRaw(work, apart ? 'a CPU for each side' : 'on any CPU', us, 0.9);
  } finally {
    await server.stop();
  }
}

/** Measures all in turns, each in one process. */
async function sideBySide(work: string, url: string): Promise<Record<string, number>> {
  const children = new Map(NAMES.map((name) => [name, openChild(child, [name, work, url])]));
  const measure = (name: string): Promise<number> => (children.get(name) as Measurer).measure();
  try {
    await inTurns(NAMES, WARM_UPS, measure);
    return await inTurns(NAMES, MEASURED, measure);
  } finally {
    await Promise.all(Array.from(children.values(), (one) => one.end()));
  }
}

/** Many locks at once that nobody contends for. */
export async function parallel(url: string): Promise<Row[]> {
  const work = '64 in parallel';
  const us = await inTurns(NAMES, 5, (name) => inChild<number>(child, [name, work, url]));
  return [toRaw(work, 'on any CPU', us, 1.4)];
}

function toRaw(
  work: string,
  where: string,
  us: Readonly<Record<string, number>>,
  goal: number,
): Row {
  const { holdfast = 0, 'raw ioredis': raw = 0 } = us;
  details(
    `${work}: lock + release, ${where}`,
    ['µs', 'to raw ioredis'],
    new Map(NAMES.map((name) => [name, [us[name] ?? 0, raw / (us[name] ?? 0)]])),
  );
  const figures = [`${round(holdfast)} µs`, `raw ${round(raw)} µs`] as const;
  return compared(work, 'rate', figures, raw / holdfast, goal);
}
