import { inChild, inTurns } from '../harness.ts';
import { child, compared, details, PEERS, round, type Row } from './results.ts';

// Fast retries change nothing where nobody waits.
const NAMES = ['holdfast', 'raw ioredis', ...PEERS.filter((name) => !name.endsWith('fast'))];

/** Locks that nobody contends for, to raw ioredis. */
export async function speed(url: string): Promise<Row[]> {
  const one = await inChild<Record<string, number>>(child, [
    JSON.stringify(NAMES),
    'sequential',
    url,
  ]);
  const work = '64 in parallel';
  const many = await inTurns(NAMES, 5, (name) => inChild<number>(child, [name, work, url]));
  return [toRaw('sequential', one, 0.9), toRaw(work, many, 1.4)];
}

function toRaw(work: string, us: Readonly<Record<string, number>>, goal: number): Row {
  const { holdfast = 0, 'raw ioredis': raw = 0 } = us;
  details(
    `${work}: lock + release`,
    ['µs', 'to raw ioredis'],
    new Map(NAMES.map((name) => [name, [us[name] ?? 0, raw / (us[name] ?? 0)]])),
  );
  const figures = [`${round(holdfast)} µs`, `raw ${round(raw)} µs`] as const;
  return compared(work, 'rate', figures, raw / holdfast, goal);
}
