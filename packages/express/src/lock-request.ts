import {
  isPromiseLike,
  LockArgumentError,
  reportWarning,
  type Key,
  type LockOptions,
} from '@holdfast/core';
import { checkKey, type Settings } from './options.ts';
import type { RouteCall } from './route-call.ts';
import { callWithWildcards } from './wildcards.ts';

/** What a request asks of the locker. */
export interface LockRequest {
  readonly key: Key;
  readonly options: LockOptions;
}

/** Most keys hold none of these anywhere, which is quick to see. */
const SUSPICIONS = /undefined|null|NaN|\[object/;

/** Values that a key holds by mistake, as whole words. */
const MISTAKES = /(?<![A-Za-z0-9])(undefined|null|NaN)(?![A-Za-z0-9])|\[object Object\]/;

/**
 * Finds out what a request asks for, most often at once; `null` for no lock.
 *
 * @throws LockArgumentError, and what the user's functions throw
 */
export function lockRequestOf(call: RouteCall): LockRequest | null | Promise<LockRequest | null> {
  const { settings, req, res } = call;
  const { key: asked, computed } = settings;
  const key = typeof asked === 'function' ? callWithWildcards(asked, req, res) : asked;
  if (isPromiseLike(key) || computed.length > 0) return computeLater(call, key);
  return fromAnswer(settings, key, settings.lockOptions);
}

async function computeLater(call: RouteCall, asked: unknown): Promise<LockRequest | null> {
  const { settings, req, res } = call;
  const key = await asked;
  const options: Record<string, unknown> = { ...settings.lockOptions };
  // Before the options, which then need no answer.
  if (fromAnswer(settings, key, {}) === null) return null;
  for (const [name, compute] of settings.computed) {
    const value = await compute(req, res);
    // As if the option had been left out: its default here, which may not be the locker's.
    if (value !== undefined) options[name] = value;
  }
  return fromAnswer(settings, key, options);
}

function fromAnswer(settings: Settings, answer: unknown, options: LockOptions): LockRequest | null {
  const key = checkKey(answer);
  if (key === null) return null;
  if (typeof settings.key === 'function') warnOfMistakes(settings, key);
  return { key, options };
}

function warnOfMistakes(settings: Settings, key: Key): void {
  for (const one of typeof key === 'string' ? [key] : key) {
    const mistake = SUSPICIONS.test(one) ? MISTAKES.exec(one)?.[0] : undefined;
    if (mistake === undefined) continue;
    reportWarning(
      settings.locker,
      'HOLDFAST_SUSPICIOUS_KEY',
      `lockRoute: the key of a request holds \`${mistake}\`, and all such requests share one lock. ` +
        'Look for a misspelt or optional parameter in the key function, for `router.use(lock)`, where ' +
        'a request has no parameters yet, and for a body that is not parsed yet.',
    );
  }
}

/** An argument error of what a request asked for is a bad request, of which its client is told no more. */
export function asBadRequest(settings: Settings, error: unknown): unknown {
  const { key, computed } = settings;
  const isOfRequest = typeof key === 'function' || computed.length > 0;
  if (!isOfRequest || !(error instanceof LockArgumentError)) return error;
  return Object.assign(error, { status: 400, statusCode: 400, expose: false });
}
