import type { HandoffOptions, Key, LockerOptions, LockOptions } from './types.ts';
import { systemClock, type Clock } from './clock.ts';
import type { Context } from './context.ts';
import { LockArgumentError } from './errors.ts';
import type { LeaseTiming } from './hold/lease-timing.ts';
import { MAX_TOKENS } from './store.ts';

/** A day, in ms. */
export const MAX_TTL = 86_400_000;

/** How far a grant may be passed on within the process. */
export interface HandoffBounds {
  readonly max: number;
  readonly tenure: number;
}

const HANDOFF: HandoffBounds = { max: 128, tenure: 50 };

/** {@link LockerOptions}, checked and completed, but for the objects that the locker makes itself. */
export interface LockerSettings {
  readonly namespace: string;
  readonly name: string;
  readonly label: string | undefined;
  readonly ttl: number;
  readonly wait: number;
  readonly maxHold: number;
  readonly safetyMargin: number | undefined;
  readonly storeTimeout: number | undefined;
  readonly handoff: HandoffBounds | undefined;
}

/**
 * {@link LockOptions}, checked; what is absent comes from {@link LockerSettings}. All that is decided
 * about a lock before it is asked for, so it is shared by those with equal options.
 */
export interface LockSettings {
  /** Of the locker. */
  readonly context: Context;
  readonly timing: LeaseTiming;
  readonly wait: number;
  readonly maxHold: number;
  readonly signal: AbortSignal | undefined;
  readonly renew: boolean;
  readonly owner: string | undefined;
  readonly holdAtLeast: number;
  readonly onLost: LockOptions['onLost'];
  readonly reentry: 'reject' | 'join' | 'ignore';
  /** A longer ttl that the store was asked for, in ms, and may have granted without an answer. */
  readonly asked: number | undefined;
}

const REENTRIES: ReadonlySet<unknown> = new Set(['reject', 'join', 'ignore']);

function refuse(name: string, expected: string): never {
  throw new LockArgumentError(`\`${name}\` must be ${expected}.`);
}

/**
 * A duration in whole ms, rounded up.
 *
 * @throws LockArgumentError
 */
export function checkDuration(name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || Number.isNaN(value)) refuse(name, 'a number of milliseconds');
  const rounded = Math.ceil(value);
  if (value < 0 || rounded < least) refuse(name, `at least ${least} ms`);
  if (value > most) refuse(name, most === Infinity ? 'a number' : `at most ${most} ms`);
  return rounded;
}

/** Not rounded yet: a third of a ttl is allowed, and is seldom a whole number. */
function checkMargin(margin: number): number {
  checkDuration('safetyMargin', margin, 0, MAX_TTL);
  return margin;
}

function checkString(name: string, value: unknown): string {
  if (typeof value !== 'string') refuse(name, 'a string');
  return value;
}

/** @throws LockArgumentError */
function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuse(name, 'an object');
  }
}

function checkMethods(name: string, value: object, methods: readonly string[]): void {
  checkObject(name, value);
  for (const method of methods) {
    if (typeof (value as Record<string, unknown>)[method] !== 'function') {
      refuse(name, `an object with \`${methods.join('`, `')}\``);
    }
  }
}

function checkHandoff(handoff: HandoffOptions | false): HandoffBounds | undefined {
  if (handoff === false) return undefined;
  checkObject('handoff', handoff);
  const { max = HANDOFF.max, tenure = HANDOFF.tenure } = handoff;
  if (!Number.isInteger(max) || max < 0 || max >= MAX_TOKENS) {
    refuse('handoff.max', `a whole number from 0 to ${MAX_TOKENS - 1}`);
  }
  return { max, tenure: checkDuration('handoff.tenure', tenure, 0, Infinity) };
}

const STORE_VERBS = ['acquire', 'renew', 'release', 'subscribe', 'inspect', 'forceRelease'];
const CLOCK_VERBS = ['now', 'wallNow', 'setTimeout', 'clearTimeout'];

/**
 * The clock of a locker or of the memory store.
 *
 * @throws LockArgumentError
 */
export function checkClock(options: { readonly clock?: Clock | undefined }): Clock {
  checkObject('options', options);
  const { clock } = options;
  if (clock === undefined) return systemClock;
  checkMethods('clock', clock, CLOCK_VERBS);
  return clock;
}

/** @throws LockArgumentError */
export function resolveLockerOptions(options: LockerOptions): LockerSettings {
  checkObject('options', options);
  const { namespace = 'holdfast', name = 'default', label } = options;
  const { ttl = 10_000, wait = Infinity, maxHold = Infinity } = options;
  const { safetyMargin, storeTimeout, handoff = HANDOFF, store } = options;
  if (store !== undefined) checkMethods('store', store, STORE_VERBS);
  return {
    namespace: checkString('namespace', namespace),
    name: checkString('name', name),
    label: label === undefined ? undefined : checkString('label', label),
    ttl: checkDuration('ttl', ttl, 1, MAX_TTL),
    wait: checkDuration('wait', wait, 0, Infinity),
    maxHold: checkDuration('maxHold', maxHold, 1, Infinity),
    safetyMargin: safetyMargin === undefined ? undefined : checkMargin(safetyMargin),
    storeTimeout:
      storeTimeout === undefined
        ? undefined
        : checkDuration('storeTimeout', storeTimeout, 1, MAX_TTL),
    handoff: checkHandoff(handoff),
  };
}

/** What an acquisition without options gets. */
export function defaultLockSettings(context: Context): LockSettings {
  const locker = context.settings;
  return {
    context,
    timing: context.timings.for(locker.ttl),
    wait: locker.wait,
    maxHold: locker.maxHold,
    signal: undefined,
    renew: true,
    owner: undefined,
    holdAtLeast: 0,
    onLost: undefined,
    reentry: 'reject',
    asked: undefined,
  };
}

/** @throws LockArgumentError */
export function resolveLockOptions(options: LockOptions, defaults: LockSettings): LockSettings {
  checkObject('options', options);
  const { ttl, signal, owner, onLost } = options;
  const { context } = defaults;
  const { wait = defaults.wait, maxHold = defaults.maxHold, holdAtLeast = 0 } = options;
  const { renew = true, reentry = 'reject' } = options;
  if (signal !== undefined) checkMethods('signal', signal, ['addEventListener']);
  if (owner !== undefined && checkString('owner', owner) === '') {
    refuse('owner', 'a non-empty string');
  }
  if (typeof renew !== 'boolean') refuse('renew', 'a boolean');
  if (onLost !== undefined && typeof onLost !== 'function') refuse('onLost', 'a function');
  if (!REENTRIES.has(reentry)) refuse('reentry', "'reject', 'join' or 'ignore'");
  const settings: LockSettings = {
    context,
    timing: ttl === undefined ? defaults.timing : context.timings.for(ttl),
    wait: checkDuration('wait', wait, 0, Infinity),
    maxHold: checkDuration('maxHold', maxHold, 1, Infinity),
    signal,
    renew,
    owner,
    holdAtLeast: checkDuration('holdAtLeast', holdAtLeast, 0, MAX_TTL),
    onLost,
    reentry,
    asked: undefined,
  };
  return context.shareSettings(settings);
}

/** Whether two settings of one locker are the same. */
export function equalSettings(one: LockSettings, other: LockSettings): boolean {
  return (
    one.timing === other.timing &&
    one.wait === other.wait &&
    one.signal === other.signal &&
    one.onLost === other.onLost &&
    one.owner === other.owner &&
    one.maxHold === other.maxHold &&
    one.holdAtLeast === other.holdAtLeast &&
    one.renew === other.renew &&
    one.reentry === other.reentry
  );
}

/**
 * The keys of an acquisition, without duplicates.
 *
 * @throws LockArgumentError
 */
export function checkKeys(key: Key): readonly [string, ...string[]] {
  const keys = Array.isArray(key) ? [...new Set(key as readonly unknown[])] : [key];
  if (keys.length === 0) throw new LockArgumentError('A list of keys must not be empty.');
  for (const one of keys) checkKey(one);
  return keys as [string, ...string[]];
}

/** @throws LockArgumentError */
export function checkKey(key: unknown): void {
  if (typeof key !== 'string' || key === '') {
    throw new LockArgumentError('A key must be a non-empty string.');
  }
}
