import { randomBytes } from 'node:crypto';
import { uptime } from 'node:os';
import type { Notices } from './notices.ts';

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

/** Longer delays fire at once in Node, so they are cut into pieces. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** A step of the wall clock by more than this, in ms, forward or back, is an alarm. */
const ALARM = 500;

/** A timer of {@link Time}, which may outlast what one timer of the clock can. */
export interface Alarm {
  timer: ClockTimer | undefined;
}

/**
 * A locker's time: the monotonic clock, plus what the machine was suspended. A monotonic clock may
 * stand still during suspension while leases on a server run on; the wall clock shows a jump then, but
 * also when somebody sets it, so only the boot clock's word counts as time that has passed.
 */
export class Time {
  /** How long the machine was suspended since this was made, in ms: so far is {@link now} ahead of the clock. */
  suspended = 0;
  /**
   * From which step of the wall clock on, in ms, the boot clock is asked whether the machine slept. Also
   * of a step back, which may be a sleep and a clock that was set back by more than that.
   */
  private noticeable = ALARM;
  private wallOffset: number;
  private bootOffset: number | undefined;
  /** The alarms that keep the process alive. */
  private readonly vital = new Set<Alarm>();
  /** Whether an alarm may keep the process alive. */
  mayKeepAlive = true;

  constructor(
    readonly clock: Clock,
    private readonly notices: Notices,
    /** Called once for each jump of the wall clock, whatever its cause, and when the machine slept. */
    private readonly onJump: () => void,
  ) {
    const monotonic = clock.now();
    this.wallOffset = clock.wallNow() - monotonic;
    this.bootOffset = this.bootAhead(monotonic);
  }

  /** Monotonic ms. Never goes back. */
  now(): number {
    return this.clock.now() + this.suspended;
  }

  /** From now on also a sleep of so many ms must show. */
  notice(ms: number): void {
    this.noticeable = Math.min(this.noticeable, ms);
  }

  /** As {@link now}, after a look at the wall clock: for all that decides whether a lock is held. */
  checkedNow(): number {
    const monotonic = this.clock.now();
    const offset = this.clock.wallNow() - monotonic;
    const jump = offset - this.wallOffset;
    if (Math.abs(jump) > this.noticeable) this.jumped(monotonic, jump);
    else if (jump < 0) this.wallOffset = offset;
    return monotonic + this.suspended;
  }

  /** Calls back in `ms`, however long that is; `Infinity` never does. */
  after(ms: number, callback: () => void, keepsAlive: boolean): Alarm {
    const alarm: Alarm = { timer: undefined };
    if (keepsAlive && this.mayKeepAlive) this.vital.add(alarm);
    const arm = (left: number): void => {
      const delay = Math.min(Math.max(left, 0), LONGEST_DELAY);
      alarm.timer = this.clock.setTimeout(() => {
        if (left > delay) {
          arm(left - delay);
          return;
        }
        this.vital.delete(alarm);
        callback();
        this.notices.deliver();
      }, delay);
      if (!this.vital.has(alarm)) alarm.timer.unref?.();
    };
    arm(ms);
    return alarm;
  }

  cancel(alarm: Alarm | undefined): void {
    if (alarm === undefined) return;
    if (alarm.timer !== undefined) this.clock.clearTimeout(alarm.timer);
    this.vital.delete(alarm);
  }

  /** From now on no alarm keeps the process alive. */
  letGo(): void {
    this.mayKeepAlive = false;
    for (const { timer } of this.vital) timer?.unref?.();
    this.vital.clear();
  }

  random(): number {
    return this.clock.random?.() ?? Math.random();
  }

  /** For the identity of a locker: 96 random bits, or what an injected source of randomness gives. */
  identity(): string {
    if (this.clock.random === undefined) return randomBytes(12).toString('base64url');
    const word = (): string => Math.floor(this.random() * 2 ** 32).toString(36);
    return Array.from({ length: 3 }, () => word().padStart(7, '0')).join('');
  }

  private jumped(monotonic: number, jump: number): void {
    this.wallOffset += jump;
    const slept = this.sleptSince(monotonic);
    this.suspended += slept;
    // A small step that the boot clock does not know of is somebody who adjusts the wall clock.
    if (slept > 0 || Math.abs(jump) > ALARM) this.onJump();
  }

  /** How long the machine was suspended since this was asked last, as far as the boot clock knows. */
  private sleptSince(monotonic: number): number {
    const boot = this.bootAhead(monotonic);
    const known = this.bootOffset ?? boot;
    if (boot === undefined || known === undefined) return 0;
    // It ticks coarsely, and must not count the same tick twice.
    this.bootOffset = Math.max(boot, known);
    return this.bootOffset - known;
  }

  /** How far the boot clock is ahead of the monotonic one. */
  private bootAhead(monotonic: number): number | undefined {
    const boot = this.clock.bootNow?.();
    return boot === undefined ? undefined : boot - monotonic;
  }
}
