import type { Clock, ClockTimer } from '@holdfast/core';
import type { World } from './world.ts';

const WALL_ORIGIN = 1_790_000_000_000;
/** ms until a process that stood still has run its timers, and those that these have set. */
const CATCHING_UP = 3;

interface MachineTimer extends ClockTimer {
  readonly happening: ReturnType<World['after']> | undefined;
}

/**
 * Where one simulated process runs: with clocks of its own, and a loop that may stand still. Nothing
 * of the process runs but by way of `enter`.
 */
export class Machine implements Clock {
  paused = false;
  /** How many timers of the process are set. */
  timers = 0;
  /** ms that the machine was suspended: its monotonic clock stood still. */
  private suspended = 0;
  private suspendedAt: number | undefined = undefined;
  private wallAhead = WALL_ORIGIN;
  private readonly missed: (() => void)[] = [];
  /** When it stood still last. */
  private stoodStillAt = -1;

  constructor(private readonly world: World) {}

  now(): number {
    return (this.suspendedAt ?? this.world.now) - this.suspended;
  }

  wallNow(): number {
    return this.world.now + this.wallAhead;
  }

  bootNow(): number {
    return this.world.now;
  }

  random(): number {
    return this.world.random();
  }

  setTimeout(callback: () => void, ms: number): ClockTimer {
    this.timers += 1;
    const timer: { happening: MachineTimer['happening'] } = { happening: undefined };
    const fire = (): void => {
      if (timer.happening === undefined) return;
      timer.happening = undefined;
      this.timers -= 1;
      callback();
    };
    timer.happening = this.world.after(Math.max(1, ms), () => this.enter(fire));
    return timer as MachineTimer;
  }

  clearTimeout(timer: ClockTimer): void {
    const set = timer as { happening: MachineTimer['happening'] };
    if (set.happening === undefined) return;
    this.world.cancel(set.happening);
    set.happening = undefined;
    this.timers -= 1;
  }

  /** Runs code of the process: now, or when its loop goes on. */
  enter(run: () => void): void {
    if (this.paused) this.missed.push(run);
    else run();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.setTimeout(resolve, ms);
    });
  }

  /** The loop is blocked, or the process stopped: its clocks go on. */
  pause(ms: number): void {
    if (this.paused) return;
    this.paused = true;
    this.world.after(ms, () => this.resume());
  }

  /** The machine sleeps: the monotonic clock stands still, those of the wall and the boot go on. */
  suspend(ms: number): void {
    if (this.paused) return;
    this.suspendedAt = this.world.now;
    this.pause(ms);
  }

  /** Somebody sets the clock on the wall. */
  stepWall(ms: number): void {
    this.wallAhead += ms;
  }

  /** Whether it has stood still since then. */
  disturbedSince(at: number): boolean {
    return this.paused || this.stoodStillAt >= at;
  }

  /** Whether it has just come back, and has not yet run all that it missed. */
  get catchingUp(): boolean {
    return this.world.now - this.stoodStillAt <= CATCHING_UP;
  }

  private resume(): void {
    if (this.suspendedAt !== undefined) {
      this.suspended += this.world.now - this.suspendedAt;
      this.suspendedAt = undefined;
    }
    this.paused = false;
    this.stoodStillAt = this.world.now;
    // Each in a turn of its own, as an event loop does.
    for (const run of this.missed.splice(0)) this.world.after(0, () => this.enter(run));
  }
}
