import { checkOptions, LockArgumentError, type Clock, type ClockTimer } from '@holdfast/core';

/** A clock that a test moves by hand, see {@link virtualClock}. */
export interface VirtualClock extends Clock {
  /**
   * Lets `ms` pass: runs the timers that come due, in order, and all that follows from each.
   *
   * @throws LockArgumentError
   */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock `ms` forward (or back, if negative), as an operator would. */
  stepWall(ms: number): void;
  /** Suspends the machine for `ms`: its wall and boot clocks go on, the monotonic one stands still. */
  suspend(ms: number): void;
  /** How many timers are set. */
  readonly timers: number;
}

/** Options of {@link virtualClock}. */
export interface VirtualClockOptions {
  /**
   * Makes randomness repeatable too. Clocks with the same seed give lockers the same identities: use
   * one clock for all lockers of a store then.
   *
   * @default none: chance is chance
   */
  seed?: number | undefined;
}

interface Timer extends ClockTimer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Taken before a test runner's fake timers can replace it. */
const nextTurn = setImmediate;

/** A day of the year 2026, so that wall-clock times look like some. */
const WALL_ORIGIN = 1_790_000_000_000;

/**
 * Time that stands still until it is advanced, for `createLocker` and `memoryStore`.
 *
 * @example
 * ```ts
 * const clock = virtualClock();
 * const locker = createLocker({ clock, store: memoryStore({ clock }) });
 * const lock = await locker.lock('report', { ttl: 10_000, renew: false });
 * await clock.advance(10_000);
 * lock.state; // 'lost'
 * ```
 */
export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  checkOptions<VirtualClockOptions>(options, { seed: true });
  const clock = new ManualClock();
  return options.seed === undefined
    ? clock
    : Object.assign(clock, { random: seededRandom(options.seed) });
}

class ManualClock implements VirtualClock {
  private time = 0;
  private wallAhead = WALL_ORIGIN;
  private bootAhead = 0;
  private count = 0;
  private readonly set = new Set<Timer>();

  get timers(): number {
    return this.set.size;
  }

  now(): number {
    return this.time;
  }

  wallNow(): number {
    return this.time + this.wallAhead;
  }

  bootNow(): number {
    return this.time + this.bootAhead;
  }

  setTimeout(callback: () => void, ms: number): ClockTimer {
    // Node's timers take at least a millisecond too.
    const at = this.time + Math.max(1, ms);
    const timer: Timer = { at, order: this.count++, callback };
    this.set.add(timer);
    return timer;
  }

  clearTimeout(timer: ClockTimer): void {
    this.set.delete(timer as Timer);
  }

  stepWall(ms: number): void {
    checkMs('stepWall', ms, -Infinity);
    this.wallAhead += ms;
  }

  suspend(ms: number): void {
    checkMs('suspend', ms, 0);
    this.wallAhead += ms;
    this.bootAhead += ms;
  }

  async advance(ms: number): Promise<void> {
    checkMs('advance', ms, 0);
    const until = this.time + ms;
    await settled();
    for (let next = this.first(until); next !== undefined; next = this.first(until)) {
      this.time = next.at;
      this.set.delete(next);
      next.callback();
      // Timers that come due together run one by one, each with what follows from it.
      await settled();
    }
    // Another call may have gone further meanwhile.
    this.time = Math.max(this.time, until);
  }

  private first(until: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.set) {
      if (timer.at > until) continue;
      const before = first === undefined || timer.at < first.at;
      if (before || (timer.at === first?.at && timer.order < first.order)) first = timer;
    }
    return first;
  }
}

/** @throws LockArgumentError: a clock that shows NaN would let tests pass that should not */
function checkMs(method: string, ms: unknown, least: number): void {
  if (Number.isFinite(ms) && (ms as number) >= least) return;
  const range = least === 0 ? ', 0 or more' : '';
  throw new LockArgumentError(`\`${method}()\` takes a finite number of ms${range}.`);
}

/** Until all promises that can settle without time passing have settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    nextTurn(resolve);
  });
}

/** A small generator (mulberry32): the same seed, the same numbers. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
