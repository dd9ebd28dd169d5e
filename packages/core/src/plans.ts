import type { LockOptions } from './types.ts';
import type { Engine } from './engine.ts';
import type { Plan } from './hold/lease.ts';
import type { LeaseTiming } from './hold/lease-timing.ts';
import {
  checkLockOptions,
  defaultLockSettings,
  resolveLockOptions,
  type LockSettings,
} from './options.ts';
import { storeOwner } from './util/ids.ts';

/** Options as they were given, and what came of them. */
interface Known {
  readonly options: LockOptions;
  readonly plan: Plan;
}

/**
 * Makes plans of options, for one locker and one kind of call. Most callers pass the same options again
 * and again, in new objects: what they come to is kept.
 */
export class Plans {
  /** Of an acquisition without options. */
  readonly defaults: Plan;
  private last: Known | undefined = undefined;

  /** @param wait in ms, unless the options say otherwise */
  constructor(
    private readonly engine: Engine,
    wait: number,
  ) {
    const { settings, terms } = engine;
    const defaults = { ...defaultLockSettings(settings), wait };
    this.defaults = planOf(engine, terms.for(settings.ttl), defaults);
  }

  /** @throws LockArgumentError */
  of(options: LockOptions | undefined): Plan {
    if (options === undefined) return this.defaults;
    checkLockOptions(options);
    const { last } = this;
    if (last !== undefined && isSame(options, last.options)) return last.plan;
    const { engine, defaults } = this;
    const settings = resolveLockOptions(options, defaults);
    const { ttl } = settings;
    const plan = planOf(
      engine,
      ttl === undefined ? defaults.terms : engine.terms.for(ttl),
      settings,
    );
    // What belongs to one call is not kept.
    if (plan.signal === undefined && plan.onLost === undefined) {
      this.last = { options: { ...options }, plan };
    }
    return plan;
  }
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
    a.throwIfLost === b.throwIfLost
  );
}

/** All plans have their fields in one order, which V8 rewards. */
function planOf(engine: Engine, terms: LeaseTiming, settings: LockSettings): Plan {
  const { wait, maxHold, signal, renew, owner, holdAtLeast, onLost } = settings;
  const { reentry, label, throwIfLost } = settings;
  return {
    engine,
    terms,
    wait,
    maxHold,
    signal,
    renew,
    owner,
    storeOwner: owner === undefined ? undefined : storeOwner(owner),
    holdAtLeast,
    onLost,
    reentry,
    label,
    throwIfLost,
  };
}
