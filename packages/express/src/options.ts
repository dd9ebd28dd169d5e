import { checkKeyAnswer, isKey, LockArgumentError, type Key, type Locker } from '@holdfast/core';
import type { AnyRequest, AnyResponse, LockRouteOptions } from './types.ts';

/** {@link LockRouteOptions}, checked and completed. */
export interface Settings extends LockRouteOptions<AnyRequest, AnyResponse> {
  readonly wait: NonNullable<LockRouteOptions<AnyRequest, AnyResponse>['wait']>;
  readonly statusCode: number;
  readonly retryAfter: number;
  readonly onStoreError: 'reject' | 'allow';
  readonly abortOnDisconnect: boolean;
  readonly releaseTimeout: number;
}

/** What a timer can hold. */
const LONGEST_TIMER = 2 ** 31 - 1;

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

/** @throws LockArgumentError */
export function resolveOptions(options: LockRouteOptions<any, any>): Settings {
  if (typeof options !== 'object' || options === null) refuse('options', 'an object');
  const { locker, key, ttl, wait = 0, maxHold, onLocked } = options;
  const { statusCode = 423, retryAfter = 1, onStoreError = 'reject' } = options;
  const { abortOnDisconnect = true, releaseTimeout = 1_000 } = options;
  checkLocker(locker);
  if (typeof key !== 'function' && !isKey(key)) {
    refuse('key', 'a non-empty string, a list of them, or a function of the request');
  }
  if (ttl !== undefined && typeof ttl !== 'function') checkNumber('ttl', ttl, Number.MIN_VALUE);
  if (typeof wait !== 'function') checkNumber('wait', wait, 0);
  if (maxHold !== undefined) checkNumber('maxHold', maxHold, Number.MIN_VALUE);
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
    ...options,
    wait,
    statusCode,
    retryAfter: Math.ceil(retryAfter),
    onStoreError,
    abortOnDisconnect,
    releaseTimeout: Math.min(releaseTimeout, LONGEST_TIMER),
  };
}
