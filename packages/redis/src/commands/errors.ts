import { LockStoreError, type StorePhase } from '@holdfast/core';
import type { ClientPort } from '../connection/port.ts';
import { FOREIGN } from '../scripts/lua.ts';

const FOREIGN_DATA = new RegExp(`\\bWRONGTYPE\\b|${FOREIGN}`);

/** What trying again cannot heal, and what to do about it. */
const PERMANENT: readonly (readonly [RegExp, string | ((match: RegExpExecArray) => string)])[] = [
  [
    FOREIGN_DATA,
    'A Redis key of this lock holds data that this version of Holdfast cannot read: another program, ' +
      'or a version with another format, wrote it.',
  ],
  [/\b(?:NOAUTH|WRONGPASS)\b/, 'Redis refuses the credentials of the client.'],
  [
    /\bNOPERM\b.*\bpermissions? to run the '?([\w|]+)'? command/,
    ([, command = '']) =>
      `The user of the Redis client may not run ${command.toUpperCase()}: grant it \`+${command}\`.`,
  ],
  [
    /\bNOPERM\b.*\bkeys?\b|can't access at least one of the keys/,
    'The user of the Redis client may not access the keys of this lock: grant it ' +
      '`~{<namespace>:*` (with the key prefix of the client before it, if there is one).',
  ],
  [/\bNOPERM\b/, 'The user of the Redis client lacks a right. The cause says which.'],
  [
    /user executing the script can't run|can't run this command or subcommand/,
    'The user of the Redis client may run scripts, but not a command that the scripts need: grant it ' +
      'the commands that the README of @holdfast/redis lists.',
  ],
  [
    /\bsyntax error\b|[Uu]nknown Redis command|\bnumber of args\b.*script/,
    'Holdfast needs Redis 6.2 or later, without renamed commands: a command of its scripts is unknown.',
  ],
  [
    /unknown command [`']?(\w+)/i,
    ([, command = '']) =>
      `Redis does not know ${command.toUpperCase()}, which Holdfast needs: is it renamed or disabled?`,
  ],
  [
    /subscriber mode|\bonly \(P(?:\|S)?\)SUBSCRIBE\b/,
    'The Redis client is in subscriber mode, in which it runs no scripts: give the store another client.',
  ],
];

const CLOSED =
  'The Redis client is not connected: it has been closed, or its `connect()` has not been called.';

/** Whether a key of a lock holds data of somebody else. */
export function isForeign(error: unknown): boolean {
  return error instanceof Error && FOREIGN_DATA.test(error.message);
}

/** Whether keys of different slots were in one request, to a server that has only some of the slots. */
export function isCrossSlot(error: unknown): boolean {
  return error instanceof Error && /\bCROSSSLOT\b/.test(error.message);
}

/** Whether the server does not know a script by its name. */
export function isNoScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

/** Whether the server is a replica, which takes no writes. */
export function isReadOnly(error: unknown): boolean {
  return error instanceof Error && /\bREADONLY\b/.test(error.message);
}

/** Marks what trying again cannot heal; all else is what it was, without what must not be told. */
export function toStoreError(error: unknown, client: ClientPort, phase: StorePhase): unknown {
  if (error instanceof LockStoreError) return error;
  const cause = withoutSecrets(error);
  const permanent = (message: string): LockStoreError =>
    new LockStoreError(message, { phase, permanent: true, cause });
  if (client.state === 'closed') return permanent(CLOSED);
  if (!(cause instanceof Error)) return cause;
  for (const [pattern, message] of PERMANENT) {
    const match = pattern.exec(cause.message);
    if (match !== null) return permanent(typeof message === 'string' ? message : message(match));
  }
  return cause;
}

/** How far a chain of causes is followed. */
const DEEPEST = 5;

/**
 * A copy of an error of the client. The client attaches the command to it, with the keys and owners of
 * locks, and with the password where that was refused; Redis repeats arguments of unknown commands.
 */
function withoutSecrets(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error) || error instanceof LockStoreError) return error;
  const message = clean(error.message);
  const copy = new Error(message);
  copy.name = error.name;
  if (error.stack !== undefined) copy.stack = clean(error.stack.replace(error.message, message));
  const { code, command, lastNodeError, cause } = error as Error & {
    readonly code?: unknown;
    readonly command?: { readonly name?: unknown };
    readonly lastNodeError?: unknown;
  };
  if (typeof code === 'string') Object.assign(copy, { code });
  if (typeof command?.name === 'string') Object.assign(copy, { command: { name: command.name } });
  const inner = cause ?? lastNodeError;
  if (inner instanceof Error && depth < DEEPEST) copy.cause = withoutSecrets(inner, depth + 1);
  return copy;
}

function clean(text: string): string {
  return text.replaceAll(/, with args beginning with:[^\n]*/g, '');
}
