import type { Alarm, Time } from './time.ts';
import type { Waiter } from './waiter.ts';

/** How long, in ms, a store may fail without a break before waiters without a limit are rejected. */
const PATIENCE = 30_000;

/** Waiters without a limit are not left to a store that fails for ever. */
export class Patience {
  private alarm: Alarm | undefined = undefined;

  /** @param exhausted told who has waited for too long */
  constructor(
    private readonly time: Time,
    private readonly exhausted: (tired: (waiter: Waiter) => boolean) => void,
  ) {}

  /** The store fails, since then. */
  begin(since: number): void {
    const { time } = this;
    const ended = (): void => {
      const now = time.now();
      // For those who came later.
      this.begin(now);
      this.exhausted((waiter) => waiter.plan.wait === Infinity && now - waiter.since >= PATIENCE);
    };
    this.alarm = time.after(since + PATIENCE - time.now(), ended, true);
  }

  /** The store has answered, or nobody waits any more. */
  end(): void {
    this.time.cancel(this.alarm);
    this.alarm = undefined;
  }
}
