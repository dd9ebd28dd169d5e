import type { LockHolder, LockInfo } from '@holdfast/core';
import { userInfo, hostname } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { connect, type StoreFlags } from '../connect.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { heldBy } from '../lock-table.ts';
import { printable } from '../text.ts';
import { described, holdersOf } from './inspect.ts';

export interface ReleaseFlags extends StoreFlags {
  readonly json?: boolean | undefined;
  readonly reason: string;
  /** The owner of one of several holders. */
  readonly holder?: string | undefined;
  readonly yes?: boolean | undefined;
}

/** Frees a lock, whoever holds it, and leaves a line that says who did it and why. */
export async function release(key: string, flags: ReleaseFlags): Promise<number> {
  const reason = flags.reason.trim();
  if (reason === '')
    throw new UsageError('--reason: say why, for those who read the log tomorrow.');
  const { locker, close } = await connect(flags);
  try {
    const info = await locker.inspect(key);
    if (info !== null && !(await confirmed(described(info), flags))) {
      process.stderr.write('holdfast: not released.\n');
      return EXIT.failed;
    }
    const { holder: owner } = flags;
    const released = await locker.forceRelease(key, { owner });
    const holder =
      owner === undefined ? info : (holdersOf(info).find((one) => one.owner === owner) ?? null);
    const record = { at: new Date().toISOString(), by: whoami(), key, reason, released, holder };
    if (flags.json === true) process.stdout.write(`${JSON.stringify(record)}\n`);
    else process.stdout.write(`${text(record)}\n`);
    return EXIT.ok;
  } finally {
    await close();
  }
}

/** A person at a terminal is asked; a script has decided already. */
async function confirmed(about: readonly string[], flags: ReleaseFlags): Promise<boolean> {
  if (flags.yes === true || flags.json === true || !process.stdin.isTTY) return true;
  process.stderr.write(`${about.join('\n')}\n\n`);
  const ask = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await ask.question(
    'Its holder may still be working until it has heard of it. Release it? [y/N] ',
  );
  ask.close();
  return /^y(es)?$/i.test(answer.trim());
}

function text(record: {
  at: string;
  by: string;
  key: string;
  reason: string;
  released: boolean;
  holder: LockInfo | LockHolder | null;
}): string {
  const { at, by, key, reason, released, holder } = record;
  if (!released) return `'${printable(key)}' was not held.`;
  const from = holder === null ? '' : `, held by ${heldBy(holder)}`;
  return `${at} ${by} released '${printable(key)}'${from}: ${printable(reason)}`;
}

function whoami(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A container's user may have no name.
    return `${process.getuid?.() ?? '?'}@${hostname()}`;
  }
}
