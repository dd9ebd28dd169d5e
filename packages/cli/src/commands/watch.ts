import type { LockInfo } from '@holdfast/core';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type StoreFlags } from '../connect.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { ago, lockTable } from '../lock-table.ts';
import { cut, printable } from '../text.ts';
import { walk } from './list.ts';

export interface WatchFlags extends StoreFlags {
  readonly json?: boolean | undefined;
  readonly interval: number;
}

/** The most locks that are looked at each time. */
const MOST = 10_000;

const ENTER = '\u001B[?1049h\u001B[?25l';
const LEAVE = '\u001B[?25h\u001B[?1049l';
const HOME = '\u001B[H';
const CLEAR_LINE = '\u001B[K';
const CLEAR_BELOW = '\u001B[J';

/** Shows what is held, again and again: a table on a terminal, else a line for each change. */
export async function watch(prefix: string | undefined, flags: WatchFlags): Promise<number> {
  const { locker, close } = await connect(flags);
  const ended = new AbortController();
  const end = (): void => ended.abort();
  process.once('SIGINT', end).once('SIGTERM', end);
  // Whoever read it has gone.
  process.stdout.once('error', end);
  const screen = process.stdout.isTTY && flags.json !== true;
  if (screen) process.stdout.write(ENTER);
  try {
    let before: readonly LockInfo[] | undefined;
    while (!ended.signal.aborted) {
      const locks = await collect(walk(locker, prefix, MOST));
      locks.sort((a, b) => (a.since ?? Infinity) - (b.since ?? Infinity));
      if (flags.json === true) print([JSON.stringify({ at: Date.now(), locks })]);
      else if (screen) draw(locks, prefix);
      else print(changes(before, locks));
      before = locks;
      await sleep(flags.interval, undefined, { signal: ended.signal }).catch(() => {});
    }
    return EXIT.ok;
  } finally {
    if (screen) process.stdout.write(LEAVE);
    await close();
  }
}

function print(lines: readonly string[]): void {
  if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
}

function draw(locks: readonly LockInfo[], prefix: string | undefined): void {
  const { columns, rows } = process.stdout;
  const waiting = locks.reduce((sum, { waiters = 0 }) => sum + waiters, 0);
  const what = prefix === undefined ? '' : ` under '${printable(prefix)}'`;
  const title = `${locks.length} held${what}, ${waiting} waiting · ${new Date().toLocaleTimeString()} · Ctrl-C ends`;
  const lines = [title, '', ...lockTable(locks.slice(0, rows), columns)];
  const shown = lines.slice(0, rows - 1).map((line) => cut(line, columns) + CLEAR_LINE);
  process.stdout.write(`${HOME}${shown.join('\n')}${CLEAR_BELOW}`);
}

/** Grants that came and went since the last look. */
function changes(before: readonly LockInfo[] | undefined, now: readonly LockInfo[]): string[] {
  const name = ({ key, owner, fencingToken }: LockInfo): string =>
    JSON.stringify([key, owner, fencingToken]);
  const old = new Map(before?.map((lock) => [name(lock), lock]));
  const fresh = new Map(now.map((lock) => [name(lock), lock]));
  const at = new Date().toISOString();
  const line = (sign: string, { key, label, since, fencingToken }: LockInfo): string =>
    `${at} ${sign} ${printable(key)} ${printable(label)} #${fencingToken} ${ago(since)}`;
  return [
    ...[...old].filter(([id]) => !fresh.has(id)).map(([, lock]) => line('-', lock)),
    ...[...fresh].filter(([id]) => !old.has(id)).map(([, lock]) => line('+', lock)),
  ];
}
