import type { LockInfo } from '@holdfast/core';
import { connect, type StoreFlags } from '../connect.ts';
import { formatDuration } from '../durations.ts';
import { EXIT } from '../exit-codes.ts';
import { ago } from '../lock-table.ts';
import { printable } from '../text.ts';

export interface InspectFlags extends StoreFlags {
  readonly json?: boolean | undefined;
}

/** Prints who holds a lock and who waits for it. */
export async function inspect(key: string, flags: InspectFlags): Promise<number> {
  const { locker, close } = await connect(flags);
  try {
    const info = await locker.inspect(key);
    if (flags.json === true) process.stdout.write(`${JSON.stringify(info)}\n`);
    else process.stdout.write(`${(info === null ? free(key) : described(info)).join('\n')}\n`);
    return EXIT.ok;
  } finally {
    await close();
  }
}

const free = (key: string): string[] => [`'${printable(key)}' is free.`];

export function described(info: LockInfo): string[] {
  const { key, label, owner, since, remaining, fencingToken, waiters = 0, queue = [] } = info;
  const lines = [
    `key      ${printable(key)}`,
    `holder   ${printable(label)}`,
    `owner    ${printable(owner)}`,
    `since    ${since === undefined ? '?' : `${ago(since)} (${new Date(since).toISOString()})`}`,
    `left     ${remaining === undefined ? '?' : `${formatDuration(remaining)}, unless it is renewed`}`,
    `token    ${fencingToken}`,
    `waiting  ${waiters}`,
  ];
  return [
    ...lines,
    ...queue.map((waiter) => `         ${printable(waiter.label)}, for ${ago(waiter.since)}`),
  ];
}
