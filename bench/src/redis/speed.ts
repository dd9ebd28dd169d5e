import { inChild, inTurns } from '../harness.ts';
import { child, compared, details, PEERS, round, type Row } from './results.ts';

const WORKS = { sequential: 0.9, '64 in parallel': 1.4 };

/** Locks that nobody contends for, to raw ioredis. */
export async function speed(url: string): Promise<Row[]> {
  const rows: Row[] = [];
  // Fast retries change nothing where nobody waits.
  const names = ['holdfast', 'raw ioredis', ...PEERS.filter((name) => !name.endsWith('fast'))];
  for (const [work, goal] of Object.entries(WORKS)) {
    const us = await inTurns(names, 5, (name) => inChild<number>(child, [name, work, url]));
    const { holdfast = 0, 'raw ioredis': raw = 0 } = us;
    details(
      `${work}: lock + release`,
      ['µs', 'to raw ioredis'],
      new Map(names.map((name) => [name, [us[name] ?? 0, raw / (us[name] ?? 0)]])),
    );
    const figures = [`${round(holdfast)} µs`, `raw ${round(raw)} µs`] as const;
    rows.push(compared(work, 'rate', figures, raw / holdfast, goal));
  }
  return rows;
}
