import { ensureBinaries, REDIS, startRedis } from '@holdfast/test-servers';
import { inChild, median, table, times } from '../harness.ts';
import type { Held, Measured } from './child.ts';
import { IN_PROCESS, ON_REDIS } from './variants.ts';

const child = new URL('child.ts', import.meta.url);
const ROUNDS = 3;

/** Measured in turns: the median of each figure. */
async function compare<T extends object>(
  variants: readonly [string, string],
  work: string,
  url: string,
  rounds = ROUNDS,
): Promise<[T, T]> {
  const all: T[][] = [[], []];
  for (let round = 0; round < rounds; round++) {
    for (const [index, name] of variants.entries()) {
      all[index]?.push(await inChild<T>(child, [name, work, url]));
    }
  }
  return all.map((measured) => {
    const names = Object.keys(measured[0] as T);
    const middle = (name: string): number =>
      median(measured.map((one) => (one as Record<string, number>)[name] as number));
    return Object.fromEntries(names.map((name) => [name, middle(name)])) as T;
  }) as [T, T];
}

/** Many tasks on a limit of 5, and many permits held: beside the semaphores that people use. */
export async function run(): Promise<boolean> {
  const rows: string[][] = [];
  let reached = true;
  /** Without a goal where the other has no leases, no tokens and no other processes to mind. */
  const row = (what: string, ours: string, theirs: string, ratio: number, goal = true): void => {
    const good = ratio >= 1;
    if (goal) reached &&= good;
    const verdict = good ? 'reached' : 'MISSED';
    rows.push([what, ours, theirs, times(ratio), goal ? verdict : 'no goal']);
  };
  const works = ['100 tasks', '1,000 waiters'];
  for (const work of works) {
    const [ours, theirs] = await compare<Measured>(IN_PROCESS, work, '');
    const figure = ({ total }: Measured): string => `${total.toFixed(2)} ms`;
    const what = `${work} on a limit of 5, memory / async-mutex`;
    row(what, figure(ours), figure(theirs), theirs.total / ours.total, false);
  }
  const [binary] = (await ensureBinaries([REDIS])) as [string];
  const server = await startRedis(binary);
  try {
    const url = `redis://${server.host}:${server.port}`;
    for (const work of works) {
      const rounds = work === '100 tasks' ? ROUNDS : 1;
      const [ours, theirs] = await compare<Measured>(ON_REDIS, work, url, rounds);
      const what = `${work} on a limit of 5, Redis / redis-semaphore`;
      const figure = ({ total }: Measured): string => `${total.toFixed(0)} ms`;
      row(what, figure(ours), figure(theirs), theirs.total / ours.total);
      const requests = (one: Measured): string => one.requests.toFixed(1);
      row('  requests per task', requests(ours), requests(theirs), theirs.requests / ours.requests);
    }
    const [ours, theirs] = await compare<Held>(ON_REDIS, '10,000 held', url, 1);
    const what = '10,000 permits held, Redis / redis-semaphore: until all are';
    row(
      what,
      `${ours.total.toFixed(0)} ms`,
      `${theirs.total.toFixed(0)} ms`,
      theirs.total / ours.total,
    );
    for (const [name, figure, unit] of [
      ['  heap per permit', 'heap', 'B'],
      ['  requests per permit in 10 s', 'requests', ''],
      ['  CPU per permit in 10 s', 'cpu', 'µs'],
    ] as const) {
      const digits = unit === '' ? 3 : 0;
      const text = (one: Held): string => `${one[figure].toFixed(digits)} ${unit}`;
      row(name, text(ours), text(theirs), theirs[figure] / ours[figure]);
    }
  } finally {
    await server.stop();
  }
  const head = ['permits', 'holdfast', 'beside it', 'ratio', '≥ 1 ×'];
  table('Permits', head, rows);
  return reached;
}
