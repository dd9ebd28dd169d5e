import {
  checkKeyAnswer,
  isKey,
  LockArgumentError,
  maxHoldOf,
  type Key,
  type Locker,
  type LockOptions,
} from '@holdfast/core';
import type { AnyRequest, AnyResponse, LockRouteOptions } from './types.ts';

type AnyOptions = LockRouteOptions<AnyRequest, AnyResponse>;

/** What only a request can tell. */
type Compute = (req: AnyRequest, res: AnyResponse) => unknown;

/** {@link LockRouteOptions}, checked and completed. */
export interface Settings {
  readonly locker: Locker;
  readonly key: AnyOptions['key'];
  /** What the locker gets for every request. */
  readonly lockOptions: LockOptions;
  /** By name: what it gets besides. */
  readonly computed: readonly (readonly [name: string, compute: Compute])[];
  readonly onLocked: AnyOptions['onLocked'];
  readonly statusCode: number;
  readonly retryAfter: number;
  readonly onStoreError: 'reject' | 'allow';
  readonly abortOnDisconnect: boolean;
  readonly releaseTimeout: number;
}

/** What a timer can hold. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** ms: no request holds a lock for longer unless its route says so. */
const LONGEST_HOLD = 300_000;

function refuse(name: string, expected: string): never {
  throw new LockArgumentError(`lockRoute: \`${name}\` must be ${expected}.`);
}

function checkNumber(name: string, value: unknown, least: number, most = Infinity): number {
  if (typeof value !== 'number' || !(value >= least && value <= most)) {
    refuse(name, `a number from ${least} to ${most}`);
  }
  return value;
}

function checkLocker(locker: unknown): void {
  if (typeof (locker as Locker | null | undefined)?.lock !== 'function') {
    refuse('locker', 'a locker, made by createLocker');
  }
}

const BODY = 'If the key is in the body, mount the body parser before the lock.';

/** Refuses what a key function must not answer, before anything is locked. */
export function checkKey(answer: unknown): Key | null {
  return checkKeyAnswer(answer, 'lockRoute', 'a request', BODY);
}

/** The checks of the options that a lock takes, where they do not depend on the request. */
const LOCK_CHECKS: Readonly<Record<string, (name: string, value: unknown) => void>> = {
  ttl: (name, value) => checkNumber(name, value, Number.MIN_VALUE),
  wait: (name, value) => checkNumber(name, value, 0),
  maxHold: (name, value) => checkNumber(name, value, Number.MIN_VALUE),
  holdAtLeast: (name, value) => checkNumber(name, value, 0),
  owner: (name, value) => {
    if (typeof value !== 'string' || value === '') refuse(name, 'a non-empty string');
  },
  label: (name, value) => {
    if (typeof value !== 'string') refuse(name, 'a string');
  },
  renew: (name, value) => {
    if (typeof value !== 'boolean') refuse(name, 'a boolean');
  },
  shared: (name, value) => {
    if (typeof value !== 'boolean') refuse(name, 'a boolean');
  },
  limit: (name, value) => {
    for (const one of Array.isArray(value) ? value : [value]) checkNumber(name, one, 1);
  },
  weight: (name, value) => checkNumber(name, value, 1),
  reentry: (name, value) => {
    if (!['reject', 'join', 'ignore'].includes(value as string)) {
      refuse(name, "'reject', 'join' or 'ignore'");
    }
  },
};

/** Tells what the locker gets for every request from what each request computes. */
function splitLockOptions(
  locker: Locker,
  options: Readonly<Record<string, unknown>>,
): Pick<Settings, 'lockOptions' | 'computed'> {
  const lockOptions: Record<string, unknown> = {
    wait: 0,
    maxHold: Math.min(LONGEST_HOLD, maxHoldOf(locker)),
  };
  const computed: [string, Compute][] = [];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (name === 'onLost') {
      if (typeof value !== 'function') refuse(name, 'a function');
      lockOptions[name] = value;
    } else if (typeof value === 'function') {
      computed.push([name, value as Compute]);
    } else {
      if (value === null) refuse(name, 'no null: leave it out, or give a value');
      LOCK_CHECKS[name]?.(name, value);
      lockOptions[name] = value;
    }
  }
  return { lockOptions, computed };
}

/** @throws LockArgumentError */
export function resolveOptions(options: LockRouteOptions<any, any>): Settings {
  if (typeof options !== 'object' || options === null) refuse('options', 'an object');
  const { locker, key, onLocked, statusCode = 423, retryAfter = 1, ...others } = options;
  const { onStoreError = 'reject', abortOnDisconnect = true, ...more } = others;
  const { releaseTimeout = 1_000, ...lock } = more;
  checkLocker(locker);
  if (typeof key !== 'function' && !isKey(key)) {
    refuse('key', 'a non-empty string, a list of them, or a function of the request');
  }
  if ('signal' in lock) refuse('signal', 'left out: lockRoute aborts when the client leaves');
  checkNumber('statusCode', statusCode, 400, 599);
  if (!Number.isInteger(statusCode)) refuse('statusCode', 'a whole number');
  checkNumber('retryAfter', retryAfter, Number.MIN_VALUE, Number.MAX_SAFE_INTEGER);
  if (onLocked !== undefined && typeof onLocked !== 'function') refuse('onLocked', 'a function');
  if (onStoreError !== 'reject' && onStoreError !== 'allow') {
    refuse('onStoreError', "'reject' or 'allow'");
  }
  if (typeof abortOnDisconnect !== 'boolean') refuse('abortOnDisconnect', 'a boolean');
  checkNumber('releaseTimeout', releaseTimeout, 0);
  return {
    ...splitLockOptions(locker, lock),
    locker,
    key,
    onLocked,
    statusCode,
    retryAfter: Math.ceil(retryAfter),
    onStoreError,
    abortOnDisconnect,
    releaseTimeout: Math.min(releaseTimeout, LONGEST_TIMER),
  };
}
