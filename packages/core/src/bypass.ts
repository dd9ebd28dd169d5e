import { channel } from 'node:diagnostics_channel';
import type { Locker } from './types.ts';
import type { Events } from './events.ts';

/** Leads from a locker to its events, also between the ESM and CommonJS copies of this package. */
export const EVENTS = Symbol.for('holdfast.events');

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
