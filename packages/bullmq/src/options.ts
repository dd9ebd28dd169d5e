import {
  checkKeyAnswer,
  checkOptions,
  isKey,
  LockArgumentError,
  type Key,
  type Locker,
} from '@holdfast/core';
import type { GuardOptions, LockedOutcome, OrderOptions } from './types.ts';

/** {@link GuardOptions}, checked and completed. */
export interface Settings extends GuardOptions {
  readonly ttl: number;
  readonly wait: number;
  readonly maxKeys: number;
  readonly onStoreError: 'defer' | 'fail';
  readonly onLocked: NonNullable<GuardOptions['onLocked']>;
  readonly delay: NonNullable<GuardOptions['delay']>;
  readonly maxDeferral: number;
}

/** ms: the `delay` where the options do not say. */
export const DELAY = 1_000;

function refuse(name: string, expected: string): never {
  throw new LockArgumentError(`guard: \`${name}\` must be ${expected}.`);
}

function checkNumber(name: string, value: unknown, positive = true): number {
  if (typeof value === 'number' && (positive ? value > 0 : value >= 0)) return value;
  return refuse(name, `a number${positive ? ' above 0' : ' of at least 0'}`);
}

/**
 * Refuses what a key function must not answer, before anything is locked.
 *
 * @throws LockArgumentError
 */
export function checkKey(answer: unknown, maxKeys: number): Key | null {
  const key = checkKeyAnswer(answer, 'guard', 'a job');
  if (Array.isArray(key) && key.length > maxKeys) {
    throw new LockArgumentError(
      `guard: the \`key\` function answered ${key.length} keys, and a job may have ${maxKeys}. ` +
        'Lock something that stands for all of them, or raise `maxKeys`.',
    );
  }
  return key;
}

const LATEST = "'latest' only with `order`, which knows who else waits";
const WORDS: ReadonlySet<unknown> = new Set(['defer', 'skip', 'fail', 'latest']);

/** @throws LockArgumentError for what no job can become */
export function checkOutcome(outcome: unknown, ordered: boolean): LockedOutcome {
  if (outcome === 'latest' && !ordered) refuse('onLocked', LATEST);
  if (WORDS.has(outcome)) return outcome as LockedOutcome;
  if (typeof outcome === 'object' && outcome !== null) {
    if ('value' in outcome) return outcome;
    const { delay } = outcome as { delay?: unknown };
    if (typeof delay === 'number' && delay >= 0 && Number.isFinite(delay)) return { delay };
  }
  throw new LockArgumentError(
    "guard: `onLocked` must answer 'defer', 'skip', 'fail', 'latest', { delay } with a number of ms, or " +
      '{ value }.',
  );
}

function checkOrder(order: OrderOptions): void {
  checkOptions<OrderOptions>(order, { queue: true, redis: true, onFailure: true }, 'order');
  const { queue, redis, onFailure } = order as Partial<OrderOptions>;
  if (typeof queue?.getJob !== 'function' || typeof queue.toKey !== 'function') {
    refuse('order.queue', 'the Queue that the worker works on');
  }
  if (typeof redis?.evalsha !== 'function') {
    refuse(
      'order.redis',
      'a client of ioredis or iovalkey for the Redis that the queue is in, or `redisScripts(client)` of ' +
        '@holdfast/redis for any other',
    );
  }
  if (onFailure !== undefined && onFailure !== 'continue' && onFailure !== 'hold') {
    refuse('order.onFailure', "'continue', 'hold' or absent");
  }
}

const OPTIONS: Record<keyof GuardOptions, true> = {
  locker: true,
  key: true,
  maxKeys: true,
  ttl: true,
  wait: true,
  maxHold: true,
  limit: true,
  onLocked: true,
  onStoreError: true,
  delay: true,
  order: true,
  maxDeferral: true,
  owner: true,
};

/** @throws LockArgumentError */
export function resolveOptions(options: GuardOptions): Settings {
  checkOptions<GuardOptions>(options, OPTIONS);
  const { locker, key, ttl = 30_000, wait = 0, maxHold, onLocked = 'defer' } = options;
  const { delay = DELAY, order, maxDeferral = Infinity, owner, limit = 1 } = options;
  const { maxKeys = 100, onStoreError = 'defer' } = options;
  if (typeof (locker as Locker | null | undefined)?.lock !== 'function') {
    refuse('locker', 'a locker, made by createLocker');
  }
  if (typeof key !== 'function') {
    if (!isKey(key)) refuse('key', 'a non-empty string, a list of them, or a function of the job');
    checkKey(key, maxKeys);
  }
  checkNumber('ttl', ttl);
  checkNumber('wait', wait, false);
  if (maxHold !== undefined) checkNumber('maxHold', maxHold);
  const limits: readonly unknown[] = Array.isArray(limit) ? limit : [limit];
  for (const one of limits) {
    if (!Number.isInteger(one) || (one as number) < 1) refuse('limit', 'a whole number from 1 on');
    if (one !== 1 && order !== undefined) refuse('limit', '1 or absent together with `order`');
  }
  if (typeof onLocked !== 'function' && !WORDS.has(onLocked)) {
    refuse('onLocked', "'defer', 'skip', 'fail', 'latest' or a function of the job and the error");
  }
  if (onLocked === 'latest' && order === undefined) {
    refuse('onLocked', LATEST);
  }
  checkNumber('maxKeys', maxKeys);
  if (onStoreError !== 'defer' && onStoreError !== 'fail') {
    refuse('onStoreError', "'defer', 'fail' or absent");
  }
  if (typeof delay !== 'function' && !Number.isFinite(checkNumber('delay', delay))) {
    refuse('delay', 'finite');
  }
  if (order !== undefined) checkOrder(order);
  checkNumber('maxDeferral', maxDeferral);
  if (owner !== undefined && owner !== 'job') refuse('owner', "'job' or absent");
  return { ...options, ttl, wait, maxKeys, onLocked, onStoreError, delay, maxDeferral };
}
