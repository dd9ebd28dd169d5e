import { hostname } from 'node:os';
import type {
  CloseOptions,
  ForceReleaseOptions,
  HandoffOptions,
  Key,
  ListOptions,
  LockerOptions,
  LockOptions,
} from './types.ts';
import { systemClock, type Clock } from './util/time.ts';
import type { Context } from './context.ts';
import type { ElectOptions } from './elect.ts';
import { LockArgumentError } from './errors.ts';
import type { LeaseTiming } from './hold/lease-timing.ts';
import { checkNames, checkObject, names, unknownName } from './option-names.ts';
import { MAX_TOKENS, type Sharing } from './store.ts';
import { knownOwners, storeOwner } from './util/ids.ts';

/** A day, in ms. */
export const MAX_TTL = 86_400_000;

/** The most characters of a label that are kept. */
const LONGEST_LABEL = 256;
/** Bytes in UTF-8. */
const LONGEST_KEY = 65_536;
const LONGEST_OWNER = 1_024;
/** A key of so many UTF-16 units, of 1 to 3 bytes each, is not too long. */
export const SHORT_KEY = Math.floor(LONGEST_KEY / 3);
const LONGEST_CURSOR = 1_024;
/** Locks per page. */
const DEFAULT_PAGE = 100;
const LARGEST_PAGE = 10_000;

/** How far a grant may be passed on within the process. */
interface HandoffBounds {
  readonly max: number;
  readonly tenure: number;
}

const HANDOFF: HandoffBounds = { max: 128, tenure: 50 };

/** {@link LockerOptions}, checked and completed, but for the objects that the locker makes itself. */
export interface LockerSettings {
  readonly namespace: string;
  readonly name: string;
  readonly label: string;
  readonly ttl: number;
  readonly wait: number;
  readonly maxHold: number;
  readonly safetyMargin: number | undefined;
  readonly storeTimeout: number | undefined;
  readonly handoff: HandoffBounds | undefined;
  readonly throwIfLost: boolean;
  readonly maxKeys: number;
  readonly maxWaiters: number;
  readonly maxWaiting: number;
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
  readonly label: string;
  readonly throwIfLost: boolean;
  /** The explicit `owner` as the store knows it. */
  readonly storeOwner: string | undefined;
  /** For a permit beside others; absent for the key alone. */
  readonly sharing: Sharing | undefined;
  /** As `sharing`, for each of the caller's keys, where these have limits of their own. */
  readonly sharings: readonly (Sharing | undefined)[] | undefined;
  /** A longer ttl that the store was asked for, in ms, and may have granted without an answer. */
  readonly asked: number | undefined;
}

/** What may be in a {@link LockerOptions}; the compiler sees to it that none is missing. */
const LOCKER_OPTIONS = names<LockerOptions>({
  store: true,
  namespace: true,
  name: true,
  label: true,
  ttl: true,
  wait: true,
  maxHold: true,
  safetyMargin: true,
  storeTimeout: true,
  handoff: true,
  throwIfLost: true,
  maxKeys: true,
  maxWaiters: true,
  maxWaiting: true,
  clock: true,
});
const LOCK_OPTIONS = names<LockOptions>({
  ttl: true,
  wait: true,
  maxHold: true,
  signal: true,
  renew: true,
  owner: true,
  holdAtLeast: true,
  onLost: true,
  reentry: true,
  label: true,
  throwIfLost: true,
  shared: true,
  limit: true,
  weight: true,
});
const LIST_OPTIONS = names<ListOptions>({ prefix: true, limit: true, cursor: true });
const FORCE_RELEASE_OPTIONS = names<ForceReleaseOptions>({ owner: true });
const ELECT_OPTIONS = names<ElectOptions>({ label: true, signal: true, onElected: true });
const CLOSE_OPTIONS = names<CloseOptions>({ drain: true });
const HANDOFF_OPTIONS = names<HandoffOptions>({ max: true, tenure: true });

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
  checkNames(handoff, HANDOFF_OPTIONS);
  const { max = HANDOFF.max, tenure = HANDOFF.tenure } = handoff;
  if (!Number.isInteger(max) || max < 0 || max >= MAX_TOKENS) {
    refuse('handoff.max', `a whole number from 0 to ${MAX_TOKENS - 1}`);
  }
  return { max, tenure: checkDuration('handoff.tenure', tenure, 0, Infinity) };
}

const STORE_VERBS = ['acquire', 'renew', 'release', 'subscribe', 'inspect', 'forceRelease'];
const SIGNAL_VERBS = ['addEventListener', 'removeEventListener'];
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

function checkSignal(signal: AbortSignal): void {
  checkMethods('signal', signal, SIGNAL_VERBS);
  if (typeof signal.aborted !== 'boolean') refuse('signal', 'an AbortSignal');
}

let hostLabel: string | undefined;

/** Who this process is, for people. */
function defaultLabel(): string {
  return (hostLabel ??= cut(`${hostname()}:${process.pid}`));
}

/** A label at its longest, without half a character at its end. */
function cut(label: string): string {
  if (label.length <= LONGEST_LABEL) return label;
  return label.slice(0, LONGEST_LABEL).replace(/[\ud800-\udbff]$/, '');
}

function checkLabel(label: unknown): string {
  return cut(checkString('label', label));
}

function checkCount(name: string, value: unknown, least: number, most: number): number {
  const whole = Number.isInteger(value) || value === most;
  if (!whole || (value as number) < least || (value as number) > most) {
    const range = most === Infinity ? `${least} or more, or Infinity` : `${least} to ${most}`;
    refuse(name, `a whole number, ${range}`);
  }
  return value as number;
}

function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') refuse(name, 'a boolean');
  return value;
}

/** @throws LockArgumentError */
export function resolveLockerOptions(options: LockerOptions): LockerSettings {
  checkObject('options', options);
  checkNames(options, LOCKER_OPTIONS);
  const { namespace = 'holdfast', name = 'default', label } = options;
  const { ttl = 10_000, wait = Infinity, maxHold = Infinity } = options;
  const { safetyMargin, storeTimeout, handoff = HANDOFF, store, throwIfLost = false } = options;
  const { maxKeys = 100, maxWaiters = Infinity, maxWaiting = Infinity } = options;
  if (store !== undefined) checkMethods('store', store, STORE_VERBS);
  return {
    namespace: checkString('namespace', namespace),
    name: checkString('name', name),
    label: label === undefined ? defaultLabel() : checkLabel(label),
    ttl: checkDuration('ttl', ttl, 1, MAX_TTL),
    wait: checkDuration('wait', wait, 0, Infinity),
    maxHold: checkDuration('maxHold', maxHold, 1, Infinity),
    safetyMargin: safetyMargin === undefined ? undefined : checkMargin(safetyMargin),
    storeTimeout:
      storeTimeout === undefined
        ? undefined
        : checkDuration('storeTimeout', storeTimeout, 1, MAX_TTL),
    handoff: checkHandoff(handoff),
    throwIfLost: checkBoolean('throwIfLost', throwIfLost),
    maxKeys: checkCount('maxKeys', maxKeys, 1, Infinity),
    maxWaiters: checkCount('maxWaiters', maxWaiters, 0, Infinity),
    maxWaiting: checkCount('maxWaiting', maxWaiting, 0, Infinity),
  };
}

/** What an acquisition without options gets. */
export function defaultLockSettings(context: Context, wait: number): LockSettings {
  const locker = context.settings;
  return {
    context,
    timing: context.timings.for(locker.ttl),
    wait,
    maxHold: locker.maxHold,
    signal: undefined,
    renew: true,
    owner: undefined,
    holdAtLeast: 0,
    onLost: undefined,
    reentry: 'reject',
    label: locker.label,
    throwIfLost: locker.throwIfLost,
    storeOwner: undefined,
    sharing: undefined,
    sharings: undefined,
    asked: undefined,
  };
}

/**
 * How a lock with these options is shared; `undefined` for one that is held alone, whatever the store.
 *
 * @throws LockArgumentError
 */
function sharingOf(
  context: Context,
  limit: unknown,
  weight: number,
  shared: boolean,
): Sharing | undefined {
  const count = checkCount('limit', limit, 1, Number.MAX_SAFE_INTEGER);
  if (weight > count) refuse('weight', 'at most the `limit`');
  if (shared && count > 1) {
    throw new LockArgumentError('`shared` and a `limit` above 1 cannot be combined.');
  }
  if (count === 1 && !shared) return undefined;
  const { store } = context;
  if (store.capabilities.permits !== true) {
    const option = shared ? '`shared`' : 'a `limit` above 1';
    throw new LockArgumentError(`This store (${store.name}) does not support ${option}.`);
  }
  return { limit: count, weight, shared };
}

/** Settings for one of several keys. */
export function settingsFor(settings: LockSettings, index: number): LockSettings {
  if (settings.sharings === undefined) return settings;
  return { ...settings, sharing: settings.sharings[index], sharings: undefined };
}

/** How many may hold a lock with these settings at once. */
export function limitOf({ sharing }: LockSettings): number {
  return sharing?.limit ?? 1;
}

/** @throws LockArgumentError */
export function resolveLockOptions(options: LockOptions, defaults: LockSettings): LockSettings {
  const { ttl, signal, owner, onLost, label } = options;
  const { context } = defaults;
  const { wait = defaults.wait, maxHold = defaults.maxHold, holdAtLeast = 0 } = options;
  const { renew = true, reentry = 'reject', throwIfLost = defaults.throwIfLost } = options;
  const { shared = false, limit = 1, weight = 1 } = options;
  checkBoolean('shared', shared);
  checkCount('weight', weight, 1, Number.MAX_SAFE_INTEGER);
  if (signal !== undefined) checkSignal(signal);
  if (owner !== undefined) checkOwner(owner);
  if (onLost !== undefined && typeof onLost !== 'function') refuse('onLost', 'a function');
  if (!REENTRIES.has(reentry)) refuse('reentry', "'reject', 'join' or 'ignore'");
  return {
    context,
    timing: ttl === undefined ? defaults.timing : context.timings.for(ttl),
    wait: checkDuration('wait', wait, 0, Infinity),
    maxHold: checkDuration('maxHold', maxHold, 1, Infinity),
    signal,
    renew: checkBoolean('renew', renew),
    owner,
    holdAtLeast: checkDuration('holdAtLeast', holdAtLeast, 0, MAX_TTL),
    onLost,
    reentry,
    label: label === undefined ? defaults.label : checkLabel(label),
    throwIfLost: checkBoolean('throwIfLost', throwIfLost),
    storeOwner: owner === undefined ? undefined : storeOwner(owner),
    sharing: Array.isArray(limit) ? undefined : sharingOf(context, limit, weight, shared),
    // Of a hole in a list, `map()` makes a hole.
    sharings: Array.isArray(limit)
      ? Array.from(limit, (one: unknown) => sharingOf(context, one, weight, shared))
      : undefined,
    asked: undefined,
  };
}

/**
 * That an argument is an object with options of an acquisition, and no others.
 *
 * @throws LockArgumentError
 */
export function checkLockOptions(options: unknown): void {
  checkObject('options', options);
  checkNames(options as object, LOCK_OPTIONS);
}

/** {@link ListOptions}, checked and completed. */
export interface ListSettings {
  readonly prefix: string;
  readonly limit: number;
  readonly cursor: string | undefined;
}

/** @throws LockArgumentError */
export function resolveListOptions(options: ListOptions = {}): ListSettings {
  checkObject('options', options);
  checkNames(options, LIST_OPTIONS);
  const { prefix = '', limit = DEFAULT_PAGE, cursor } = options;
  if (isLongerThan(LONGEST_KEY, checkString('prefix', prefix))) {
    refuse('prefix', `at most ${LONGEST_KEY} bytes long`);
  }
  if (
    cursor !== undefined &&
    (checkString('cursor', cursor) === '' || cursor.length > LONGEST_CURSOR)
  ) {
    refuse('cursor', 'the `cursor` of the page before');
  }
  return { prefix, limit: checkCount('limit', limit, 1, LARGEST_PAGE), cursor };
}

/** @throws LockArgumentError */
export function checkElection(options: ElectOptions): void {
  checkObject('options', options);
  checkNames(options, ELECT_OPTIONS);
  const { label, signal, onElected } = options;
  if (label !== undefined) checkLabel(label);
  if (signal !== undefined) checkSignal(signal);
  if (typeof onElected !== 'function') refuse('onElected', 'a function');
}

/**
 * The owner whose hold is to be ended, as the store may know it.
 *
 * @throws LockArgumentError
 */
export function resolveForcedOwner(
  options: ForceReleaseOptions = {},
): readonly string[] | undefined {
  checkObject('options', options);
  checkNames(options, FORCE_RELEASE_OPTIONS);
  const { owner } = options;
  if (owner === undefined) return undefined;
  checkOwner(owner);
  return knownOwners(owner);
}

/** The option of `close()` that it does not know, told without throwing: closing never fails. */
export function unknownCloseOption(options: CloseOptions | undefined): string | undefined {
  if (typeof options !== 'object' || options === null) return undefined;
  return unknownName(options, CLOSE_OPTIONS);
}

function checkOwner(owner: unknown): void {
  const given = checkString('owner', owner);
  if (given === '') refuse('owner', 'a non-empty string');
  if (isLongerThan(LONGEST_OWNER, given)) refuse('owner', `at most ${LONGEST_OWNER} bytes long`);
}

/** Whether a text has more than so many bytes in UTF-8. */
function isLongerThan(most: number, text: string): boolean {
  // A UTF-16 unit takes 1 to 3 bytes.
  return text.length * 3 > most && (text.length > most || Buffer.byteLength(text) > most);
}

/**
 * The keys of an acquisition, without duplicates.
 *
 * @throws LockArgumentError
 */
export function checkKeys(key: Key, maxKeys: number): readonly [string, ...string[]] {
  if (!Array.isArray(key)) return [checkKey(key)];
  const keys = new Set<string>();
  for (const one of key as readonly unknown[]) {
    keys.add(checkKey(one));
    if (keys.size > maxKeys) {
      throw new LockArgumentError(
        `A lock takes at most ${maxKeys} keys, the locker's \`maxKeys\`.`,
      );
    }
  }
  if (keys.size === 0) throw new LockArgumentError('A list of keys must not be empty.');
  return [...keys] as [string, ...string[]];
}

/** @throws LockArgumentError */
export function checkKey(key: unknown): string {
  if (typeof key !== 'string' || key === '') {
    throw new LockArgumentError('A key must be a non-empty string.');
  }
  if (isLongKey(key))
    throw new LockArgumentError(`A key must not be longer than ${LONGEST_KEY} bytes.`);
  return key;
}

export function isLongKey(key: string): boolean {
  return isLongerThan(LONGEST_KEY, key);
}
