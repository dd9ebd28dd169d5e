import type { LockInfo } from '@holdfast/core';
import { connect, type StoreFlags } from '../connect.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { lockTable } from '../lock-table.ts';
import { walk } from './list.ts';

export interface ListFlags extends StoreFlags {
  readonly json?: boolean | undefined;
  readonly limit?: number | undefined;
}

/** Prints what is held. */
export async function ls(prefix: string | undefined, flags: ListFlags): Promise<number> {
  const { locker, close } = await connect(flags);
  try {
    const locks = walk(locker, prefix, flags.limit);
    await (flags.json === true ? printJson(locks) : printTable(locks));
    return EXIT.ok;
  } finally {
    await close();
  }
}

async function printTable(locks: AsyncIterable<LockInfo>): Promise<void> {
  const all = await collect(locks);
  // Longest held first: what is stuck is on top.
  all.sort((a, b) => (a.since ?? Infinity) - (b.since ?? Infinity));
  if (all.length === 0) process.stderr.write('holdfast: nothing is held.\n');
  else await write(`${lockTable(all, terminalWidth()).join('\n')}\n`);
}

/** An array, one lock a line, written as it comes: there may be very many. */
async function printJson(locks: AsyncIterable<LockInfo>): Promise<void> {
  let before = '[\n';
  for await (const lock of locks) {
    await write(`${before}${JSON.stringify(lock)}`);
    before = ',\n';
  }
  await write(before === '[\n' ? '[]\n' : '\n]\n');
}

function terminalWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

/** Waits for a reader that is slow. */
function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
