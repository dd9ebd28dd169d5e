import type { Context } from './context.ts';
import {
  checkLockOptions,
  defaultLockSettings,
  resolveLockOptions,
  type LockSettings,
} from './options.ts';
import type { LockOptions } from './types.ts';

/** Options as they were given, and what came of them. */
interface Known {
  readonly options: LockOptions;
  readonly settings: LockSettings;
}

/**
 * Makes settings of options, for one locker and one kind of call. Most callers pass the same options again
 * and again, in new objects: what they come to is kept, and shared by the locks that are held.
 */
export class KnownSettings {
  /** Of an acquisition without options. */
  readonly defaults: LockSettings;
  private last: Known | undefined = undefined;

  /** @param wait in ms, unless the options say otherwise */
  constructor(context: Context, wait: number) {
    this.defaults = defaultLockSettings(context, wait);
  }

  /** @throws LockArgumentError */
  of(options: LockOptions | undefined): LockSettings {
    if (options === undefined) return this.defaults;
    checkLockOptions(options);
    const { last } = this;
    if (last !== undefined && isSame(options, last.options)) return last.settings;
    // Read once: they may be inherited, or computed anew each time they are read.
    const given = copyOf(options);
    const settings = resolveLockOptions(given, this.defaults);
    // What belongs to one call is not kept.
    const { signal, onLost, sharings } = settings;
    if (signal === undefined && onLost === undefined && sharings === undefined) {
      this.last = { options: given, settings };
    }
    return settings;
  }
}

function copyOf(options: LockOptions): Required<LockOptions> {
  return {
    ttl: options.ttl,
    wait: options.wait,
    signal: options.signal,
    owner: options.owner,
    label: options.label,
    maxHold: options.maxHold,
    renew: options.renew,
    holdAtLeast: options.holdAtLeast,
    onLost: options.onLost,
    reentry: options.reentry,
    throwIfLost: options.throwIfLost,
    shared: options.shared,
    limit: options.limit,
    weight: options.weight,
  };
}

function isSame(a: LockOptions, b: LockOptions): boolean {
  return (
    a.ttl === b.ttl &&
    a.wait === b.wait &&
    a.signal === b.signal &&
    a.owner === b.owner &&
    a.label === b.label &&
    a.maxHold === b.maxHold &&
    a.renew === b.renew &&
    a.holdAtLeast === b.holdAtLeast &&
    a.onLost === b.onLost &&
    a.reentry === b.reentry &&
    a.throwIfLost === b.throwIfLost &&
    a.shared === b.shared &&
    a.limit === b.limit &&
    a.weight === b.weight
  );
}
