import { atLeast, type Goal } from '../goals.ts';
import { inChild, median, times, timedAndCounted } from '../harness.ts';
import { table } from '../report.ts';
import { onRedis } from '../servers.ts';
import type { Held, Measured } from './child.ts';
import { IN_PROCESS, ON_REDIS } from './variants.ts';

const child = 'permits/child';
const ROUNDS = 3;

/** Measured in turns: the median of each figure. */
async function compare<T extends { readonly requests: number }>(
  variants: readonly [string, string],
  work: string,
  url: string,
  rounds = ROUNDS,
): Promise<[T, T]> {
  const all: T[][] = [[], []];
  for (let round = 0; round < rounds; round++) {
    for (const [index, name] of variants.entries()) {
      const measured = url === '' ? inChild<T> : timedAndCounted<T>;
      all[index]?.push(await measured(child, [name, work, url]));
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
export async function run(): Promise<Goal[]> {
  const rows: string[][] = [];
  const goals: Goal[] = [];
  /** Without a goal where the other has no leases, no tokens and no other processes to mind. */
  const row = (what: string, ours: string, theirs: string, ratio: number, goal = true): void => {
    if (goal) goals.push(atLeast(what, ratio, 1));
    rows.push([what, ours, theirs, times(ratio)]);
  };
  const works = ['100 tasks', '1,000 waiters'];
  for (const work of works) {
    const [ours, theirs] = await compare<Measured>(IN_PROCESS, work, '');
    const figure = ({ total }: Measured): string => `${total.toFixed(2)} ms`;
    const what = `${work} on a limit of 5, memory (async-mutex)`;
    row(what, figure(ours), figure(theirs), theirs.total / ours.total, false);
  }
  await onRedis(async (_, url) => {
    for (const work of works) {
      const rounds = work === '100 tasks' ? ROUNDS : 1;
      const [ours, theirs] = await compare<Measured>(ON_REDIS, work, url, rounds);
      const what = `${work} on a limit of 5, Redis`;
      const figure = ({ total }: Measured): string => `${total.toFixed(0)} ms`;
      row(what, figure(ours), figure(theirs), theirs.total / ours.total);
      const requests = (one: Measured): string => one.requests.toFixed(1);
      const sent = `${work} on a limit of 5, Redis: requests per task`;
      row(sent, requests(ours), requests(theirs), theirs.requests / ours.requests);
    }
    const [ours, theirs] = await compare<Held>(ON_REDIS, '10,000 held', url, 1);
    const what = '10,000 permits held, Redis';
    row(
      `${what}: until all are`,
      `${ours.total.toFixed(0)} ms`,
      `${theirs.total.toFixed(0)} ms`,
      theirs.total / ours.total,
    );
    for (const [name, figure, unit] of [
      ['heap per permit', 'heap', 'B'],
      ['requests per permit in 10 s', 'requests', ''],
      ['CPU per permit in 10 s', 'cpu', 'µs'],
    ] as const) {
      const digits = unit === '' ? 3 : 0;
      const text = (one: Held): string => `${one[figure].toFixed(digits)} ${unit}`;
      row(`${what}: ${name}`, text(ours), text(theirs), theirs[figure] / ours[figure]);
    }
  });
  table('Permits', ['', 'holdfast', 'beside it', 'ratio'], rows);
  return goals;
}
