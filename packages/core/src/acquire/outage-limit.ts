import type { Alarm, Time } from '../util/time.ts';
import type { Waiter } from './waiter.ts';

/** How long, in ms, a store may fail without a break before waiters without a limit are rejected. */
export const OUTAGE_LIMIT = 30_000;
/** How often, in ms, those are looked for whose limit is reached later. */
const LATER_LOOKS = 1_000;

/** From the first failure on: waiters without a limit are not left to a store that fails for ever. */
export class OutageLimit {
  private alarm: Alarm | undefined = undefined;

  /**
   * @param since when the first request was sent that failed
   * @param reached told who has waited for too long
   */
  constructor(
    private readonly time: Time,
    since: number,
    private readonly reached: (concerned: (waiter: Waiter) => boolean) => void,
  ) {
    this.lookIn(since + OUTAGE_LIMIT - time.now());
  }

  /** The store has answered, or nobody waits any more. */
  end(): void {
    this.time.cancel(this.alarm);
  }

  private lookIn(ms: number): void {
    const { time } = this;
    const look = (): void => {
      const now = time.now();
      this.lookIn(LATER_LOOKS);
      this.reached(({ settings, since }) => {
        return settings.wait === Infinity && now - since >= OUTAGE_LIMIT;
      });
    };
    this.alarm = time.after(ms, look, true);
  }
}
