import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** Nothing that anybody sends may block the event loop for longer, in ms. */
export const LONGEST_BLOCK = 50;

/** Per ms. */
const NANOSECONDS = 1e6;
const MICROSECONDS = 1e3;
/** ms in which the monitor looks at least once. */
const TICKS = 3;

/** Sees what no caller sees: errors that nobody caught, and how long the event loop was blocked. */
export class Watch {
  readonly escaped: string[] = [];
  private readonly delay = monitorEventLoopDelay({ resolution: 1 });
  private used = process.cpuUsage();
  private readonly note = (error: unknown): void => {
    this.escaped.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  };

  start(): void {
    process.on('uncaughtException', this.note);
    process.on('unhandledRejection', this.note);
    this.delay.enable();
  }

  /**
   * Since this was asked last, the longest block in ms; at most what the process has computed for, because
   * a busy machine blocks those who do nothing as well.
   */
  async block(): Promise<number> {
    const { delay } = this;
    // What is blocked now is seen at the next tick of the monitor.
    await sleep(TICKS);
    const { user, system } = process.cpuUsage(this.used);
    const block = Math.min(delay.max / NANOSECONDS, (user + system) / MICROSECONDS);
    delay.reset();
    // The first tick after that is the one from which it counts.
    while (delay.count === 0) await sleep(1);
    this.used = process.cpuUsage();
    return block;
  }

  stop(): void {
    this.delay.disable();
    process.off('uncaughtException', this.note);
    process.off('unhandledRejection', this.note);
  }
}
