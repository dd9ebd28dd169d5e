import type { Alarm, Time } from '../util/time.ts';
import type { Waiter } from './waiter.ts';

/** How long, in ms, a store may fail without a break before waiters without a limit are rejected. */
const PATIENCE = 30_000;
/** How often, in ms, those are looked for whose patience has ended later. */
const LATER_LOOKS = 1_000;

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
    this.lookIn(since + PATIENCE - this.time.now());
  }

  /** The store has answered, or nobody waits any more. */
  end(): void {
    this.time.cancel(this.alarm);
    this.alarm = undefined;
  }

  private lookIn(ms: number): void {
    const { time } = this;
    const look = (): void => {
      const now = time.now();
      this.lookIn(LATER_LOOKS);
      this.exhausted((waiter) => waiter.plan.wait === Infinity && now - waiter.since >= PATIENCE);
    };
    this.alarm = time.after(ms, look, true);
  }
}
