import { table, times } from '../harness.ts';
import { variants } from './peers.ts';

/** A goal, and how far it is reached. */
export interface Row {
  /** The work, what is measured, ours, theirs and the goal. */
  readonly cells: readonly [string, string, string, string, string];
  readonly reached: boolean;
}

export const child = new URL('child.ts', import.meta.url);

/** All that people use instead: raw ioredis neither waits nor renews. */
export const PEERS = Object.keys(variants).filter(
  (name) => name !== 'holdfast' && name !== 'raw ioredis',
);

/** The variant with the least of something. */
export function least(values: ReadonlyMap<string, number>): [name: string, value: number] {
  const peers = [...values].filter(([name]) => name !== 'holdfast');
  return peers.toSorted(([, a], [, b]) => a - b)[0] as [string, number];
}

/** A goal in comparison with a peer: `ratio` has to be at least `goal`. */
export function compared(
  work: string,
  figure: string,
  [ours, theirs]: readonly [string, string],
  ratio: number,
  goal: number,
): Row {
  const cells = [work, figure, ours, theirs, `${times(ratio)} of ≥ ${goal} ×`] as const;
  return { cells, reached: ratio >= goal };
}

/** A goal by itself. */
export function absolute(work: string, figure: string, value: number, goal: string): Row {
  const [sign, limit] = goal.split(' ') as [string, string];
  const reached = sign === '≤' ? value <= Number(limit) : value >= Number(limit);
  return { cells: [work, figure, round(value), '', goal], reached };
}

export function round(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value >= 100
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(3)));
}

/** Prints what each variant reached, one column per figure. */
export function details(
  title: string,
  figures: readonly string[],
  rows: ReadonlyMap<string, readonly number[]>,
): void {
  table(
    title,
    ['', ...figures],
    [...rows].map(([name, values]) => [name].concat(values.map(round))),
  );
}
