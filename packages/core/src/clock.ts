import { uptime } from 'node:os';

/** What {@link Clock.setTimeout} returns; Node's timers fit. */
export interface ClockTimer {
  ref?(): unknown;
  unref?(): unknown;
}

/**
 * Time as a locker sees it. The default reads Node's globals at every call, so that the fake timers
 * of test runners work; `virtualClock()` of `@holdfast/testing` is one that a test moves by hand.
 */
export interface Clock {
  /** Monotonic time in ms, from any origin, with fractions. */
  now(): number;
  /** Wall-clock time in ms since 1970. It may jump; a step raises an alarm, and is never counted as time. */
  wallNow(): number;
  /** Time in ms since the machine started, including time it was suspended; absent if unknown. */
  bootNow?(): number;
  /** Calls `callback` once, `ms` (at most 2^31 - 1) from now. */
  setTimeout(callback: () => void, ms: number): ClockTimer;
  clearTimeout(timer: ClockTimer): void;
  /** In [0, 1), for jitter and for the identities of lockers; default `Math.random` and Node's crypto. */
  random?(): number;
}

/** The clocks and timers of this process, looked up at call time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  bootNow: () => uptime() * 1_000,
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
