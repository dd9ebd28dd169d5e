import type { LockInfo } from '@holdfast/core';
import { formatDuration } from './durations.ts';
import { printable, table, type Column } from './text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'KEY', shrinksTo: 12 },
  { title: 'HOLDER', shrinksTo: 12 },
  { title: 'SINCE', right: true },
  { title: 'LEFT', right: true },
  { title: 'WAITING', right: true },
  { title: 'TOKEN', right: true },
];

/** How long ago, by this machine's clock: the store's may differ. */
export function ago(since: number | undefined, now = Date.now()): string {
  return since === undefined ? '?' : formatDuration(now - since);
}

export function lockTable(locks: readonly LockInfo[], width?: number): string[] {
  const now = Date.now();
  const rows = locks.map(({ key, label, since, remaining, waiters, fencingToken }) => [
    printable(key),
    printable(label),
    ago(since, now),
    remaining === undefined ? '?' : formatDuration(remaining),
    String(waiters ?? '?'),
    String(fencingToken),
  ]);
  return table(COLUMNS, rows, width);
}
