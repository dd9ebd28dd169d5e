import { channel } from 'node:diagnostics_channel';
import type { Locker } from './types.ts';
import { systemClock, type Clock } from './util/time.ts';
import type { Events } from './events.ts';

/** Leads from a locker to its events, also between the ESM and CommonJS copies of this package. */
export const EVENTS = Symbol.for('holdfast.events');

/** Leads from a locker to its `maxHold`, likewise. */
export const MAX_HOLD = Symbol.for('holdfast.maxHold');

/** Leads from a locker to its clock, likewise. */
export const CLOCK = Symbol.for('holdfast.clock');

/** The clock of a locker; Node's for a locker that is not ours. */
export function clockOf(locker: Locker): Clock {
  return (locker as { [CLOCK]?: Clock })[CLOCK] ?? systemClock;
}

/**
 * For adapters: the longest that a locker holds a lock whose options do not say, in ms; `Infinity` for a
 * locker that is not ours.
 *
 * @example
 * ```ts
 * await locker.lock(key, { maxHold: Math.min(300_000, maxHoldOf(locker)) });
 * ```
 */
export function maxHoldOf(locker: Locker): number {
  return (locker as { [MAX_HOLD]?: number })[MAX_HOLD] ?? Infinity;
}

/**
 * For adapters: tells that work runs without its lock, because its user wanted that (the event
 * `bypassed`).
 *
 * @example
 * ```ts
 * reportBypass(locker, { key, error });
 * ```
 */
export function reportBypass(
  locker: Locker,
  details: {
    key?: string | undefined;
    keys?: readonly string[] | undefined;
    error?: unknown;
  },
): void {
  const events = (locker as { [EVENTS]?: Events })[EVENTS];
  if (events !== undefined) events.emit('bypassed', details);
  else channel('holdfast:bypassed').publish({ locker: 'custom', store: 'custom', ...details });
}

/**
 * For adapters: tells what an operator should know, once per code and locker: as the event `warning`, and
 * as a warning of the process.
 *
 * @example
 * ```ts
 * reportWarning(locker, 'HOLDFAST_MAX_STARTED_ATTEMPTS', 'A worker has `maxStartedAttempts` …');
 * ```
 */
export function reportWarning(locker: Locker, code: string, message: string): void {
  const events = (locker as { [EVENTS]?: Events })[EVENTS];
  if (events !== undefined) events.warn(code, message);
  else process.emitWarning(message, { type: 'HoldfastWarning', code });
}
