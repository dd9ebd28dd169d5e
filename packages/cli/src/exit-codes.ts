import { LockError } from '@holdfast/core';

/** As in sysexits.h, where it has one. */
export const EXIT = {
  ok: 0,
  /** A check of `doctor` failed. */
  failed: 1,
  usage: 64,
  /** The store cannot be reached, or refuses. */
  unavailable: 69,
  software: 70,
  /** The lock is busy. */
  busy: 75,
  /** As shells have it. */
  notExecutable: 126,
  notFound: 127,
} as const;

/** The command line, or a file that it names, is not as it must be. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** For programs, beside those of locks' errors. */
  readonly code = 'USAGE';
}

/** The store cannot be used: known before a locker asks. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
  /** As of a store that fails later. */
  readonly code = 'LOCK_STORE_UNAVAILABLE';
}

const BY_CODE: Readonly<Record<string, number>> = {
  LOCK_NOT_ACQUIRED: EXIT.busy,
  LOCK_QUEUE_FULL: EXIT.busy,
  LOCK_INVALID_ARGUMENT: EXIT.usage,
  LOCK_CONFLICT: EXIT.usage,
  LOCK_STORE_UNAVAILABLE: EXIT.unavailable,
  LOCKER_CLOSED: EXIT.unavailable,
};

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof UnavailableError) return EXIT.unavailable;
  if (error instanceof LockError) return BY_CODE[error.code] ?? EXIT.software;
  return EXIT.software;
}

/** For people: what happened, and below it what caused it. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  // Several causes, such as a name with two addresses, come in one error without a message.
  const inner = cause instanceof AggregateError ? cause.errors[0] : cause;
  return inner === undefined ? error.message : `${error.message} (${messageOf(inner)})`;
}
