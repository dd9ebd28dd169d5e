import type { LockHolder, LockInfo } from '@holdfast/core';
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

/** All who hold a lock; of very many the first. */
export function holdersOf(info: LockInfo | null): readonly LockHolder[] {
  return info === null ? [] : (info.holders ?? [info]);
}

export function described(info: LockInfo): string[] {
  const { key, waiters = 0, queue = [] } = info;
  return [
    `key      ${printable(key)}`,
    ...holdersOf(info).flatMap(holder),
    `waiting  ${waiters}`,
    ...queue.map((waiter) => `         ${printable(waiter.label)}, for ${ago(waiter.since)}`),
  ];
}

function holder({ label, owner, since, remaining, fencingToken }: LockHolder): string[] {
  return [
    `holder   ${printable(label)}`,
    `owner    ${printable(owner)}`,
    `since    ${since === undefined ? '?' : `${ago(since)} (${new Date(since).toISOString()})`}`,
    `left     ${remaining === undefined ? '?' : `${formatDuration(remaining)}, unless it is renewed`}`,
    `token    ${fencingToken}`,
  ];
}
