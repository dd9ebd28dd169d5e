import type { Lock, Locker } from '@holdfast/core';
import { hostname, constants } from 'node:os';
import { basename } from 'node:path';
import { connect, type StoreFlags } from '../connect.ts';
import { UsageError } from '../exit-codes.ts';
import { Child } from '../run/child.ts';
import { watchDeadline } from '../run/deadline.ts';
import { onSignals, onStop } from '../run/signals.ts';
import { printable } from '../text.ts';

export interface RunFlags extends StoreFlags {
  readonly ttl?: number | undefined;
  readonly wait?: number | undefined;
  readonly try?: boolean | undefined;
  readonly shared?: boolean | undefined;
  /** One for all keys, or one for each. */
  readonly limit?: number | readonly number[] | undefined;
  readonly weight?: number | undefined;
  readonly maxHold?: number | undefined;
  readonly label?: string | undefined;
  readonly json?: boolean | undefined;
}

/** Tells what happens, on stderr: stdout is the command's. */
type Tell = (event: string, text: string, details?: object) => void;

const ENDING: ReadonlySet<string> = new Set(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']);

/**
 * Runs a command under a lock.
 *
 * @returns the exit code
 * @throws what `Locker.lock` does, UsageError, UnavailableError
 */
export async function run(
  keys: readonly string[],
  command: readonly string[],
  flags: RunFlags,
): Promise<number> {
  const [program] = command;
  if (program === undefined || program === '') {
    throw new UsageError('Say what to run, after --: holdfast run <key> -- <command>.');
  }
  if (flags.try === true && flags.wait !== undefined) {
    throw new UsageError('Give --try or --wait, not both.');
  }
  const tell: Tell = (event, text, details = {}) => {
    const line = flags.json === true ? JSON.stringify({ event, ...details }) : `holdfast: ${text}`;
    process.stderr.write(`${line}\n`);
  };
  const label = flags.label ?? `${hostname()}:${process.pid} ${basename(program)}`;
  const caller = new AbortController();
  let onSignal = (signal: NodeJS.Signals): void => {
    if (ENDING.has(signal)) caller.abort(signal);
  };
  // Never without a listener until the end: a signal would end this process, and not the command.
  const endSignals = onSignals((signal) => onSignal(signal));
  const connection = await connect(flags, label);
  try {
    const lock = await acquire(connection.locker, keys, caller.signal, flags, tell).catch(
      (error: unknown) => {
        if (!caller.signal.aborted) throw error;
      },
    );
    if (lock === undefined || caller.signal.aborted) {
      await lock?.release();
      const signal = caller.signal.reason as NodeJS.Signals;
      tell('cancelled', `stopped waiting: ${signal}.`, { signal });
      return 128 + (constants.signals[signal] ?? 0);
    }
    const child = start(lock, command);
    onSignal = (signal) => child.signal(signal);
    return await hold(lock, child, flags, tell);
  } finally {
    await connection.close();
    endSignals();
  }
}

async function acquire(
  locker: Locker,
  keys: readonly string[],
  signal: AbortSignal,
  flags: RunFlags,
  tell: Tell,
): Promise<Lock> {
  const { ttl, maxHold, shared, limit, weight, label } = flags;
  const wait = flags.try === true ? 0 : flags.wait;
  // A loss is told by `hold`, also if the lock was lost before the command could be started.
  const onLost = (): void => {};
  const options = { ttl, wait, maxHold, signal, shared, limit, weight, label, onLost };
  const endWaiting = locker.on('waiting', ({ key }) => {
    tell('waiting', `waiting for '${printable(key)}'.`, { keys });
  });
  try {
    return await locker.lock(keys, options);
  } finally {
    endWaiting();
  }
}

function start(lock: Lock, command: readonly string[]): Child {
  return Child.start(command, {
    ...process.env,
    HOLDFAST_KEY: lock.keys.join('\n'),
    HOLDFAST_FENCE: fencesOf(lock).join('\n'),
  });
}

function fencesOf(lock: Lock): number[] {
  return lock.keys.map((key) => lock.tokenFor(key));
}

/** Until the command has ended, by itself or because its lock did. */
async function hold(lock: Lock, child: Child, flags: RunFlags, tell: Tell): Promise<number> {
  const { keys } = lock;
  if (flags.json === true) tell('acquired', '', { keys, fences: fencesOf(lock) });
  let doomed = false;
  const kill = (): void => child.signal('SIGKILL');
  const ends = [
    onStop(
      (signal) => child.signal(signal),
      () => lock.state === 'held' || (kill(), false),
    ),
    watchDeadline(lock, flags.maxHold ?? Infinity, {
      terminate: (reason) => {
        doomed = true;
        tell('lost', lossText(reason), { keys, reason });
        child.signal('SIGTERM');
        // What is stopped cannot end.
        child.signal('SIGCONT');
      },
      kill,
    }),
  ];
  const { code, signal, error } = await child.ended;
  for (const end of ends) end();
  // What it has started may have outlived it.
  if (doomed) kill();
  if (error !== undefined) tell('not-started', `cannot run it: ${error.message}.`, { keys });
  const released = await lock.release();
  if (flags.json === true) tell('ended', '', { keys, code, signal, released });
  return code;
}

function lossText(reason: string): string {
  switch (reason) {
    case 'late':
      return 'the store has not confirmed the lock for too long: stopping the command before the lock can be another’s.';
    case 'max-hold':
      return 'the command has held the lock for as long as it may: stopping it.';
    case 'forced':
      return 'an operator released the lock: stopping the command.';
    default:
      return `the lock is lost (${reason}): stopping the command.`;
  }
}
