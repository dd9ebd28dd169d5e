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

/** Who holds a lock: one, or the first of several and how many more. */
export function heldBy({
  label,
  holders = [],
}: {
  label: string;
  holders?: LockInfo['holders'];
}): string {
  const more = holders.length > 1 ? ` and ${holders.length - 1} more` : '';
  return printable(label) + more;
}

export function lockTable(locks: readonly LockInfo[], width?: number): string[] {
  const now = Date.now();
  const rows = locks.map((lock) => [
    printable(lock.key),
    heldBy(lock),
    ago(lock.since, now),
    lock.remaining === undefined ? '?' : formatDuration(lock.remaining),
    String(lock.waiters ?? '?'),
    String(lock.fencingToken),
  ]);
  return table(COLUMNS, rows, width);
}
