import { round } from '../goals.ts';
import { table } from '../report.ts';
import { variants } from './peers.ts';

export const child = 'redis/child';

/** All that people use instead: raw ioredis neither waits nor renews. */
export const PEERS = Object.keys(variants).filter(
  (name) => !name.startsWith('holdfast') && name !== 'raw ioredis',
);

/** The variant with the least of something. */
export function least(values: ReadonlyMap<string, number>): [name: string, value: number] {
  const peers = [...values].filter(([name]) => !name.startsWith('holdfast'));
  return peers.toSorted(([, a], [, b]) => a - b)[0] as [string, number];
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
