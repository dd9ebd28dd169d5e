// Not the global one, which test runners replace by one that waits for them.
import { setImmediate } from 'node:timers';

/** So many calls are answered at once, and so many in each turn of the event loop after that. */
const AT_ONCE = 1_000;
/** How long it takes, in ms, until as many may be answered at once again. */
const WINDOW = 1_000;

/**
 * Answers calls that end without a lock. A signal that very many share, or a limit that they reach
 * together, ends all of them in one turn; their callers are told over several turns, so that the event
 * loop is not blocked by errors and by what callers do with them.
 */
export class Answers {
  private since = -Infinity;
  private given = 0;
  private late: (() => void)[] = [];

  /**
   * @param answer must not throw
   * @param now by the locker's clock
   */
  give(answer: () => void, now: number): void {
    if (this.late.length === 0 && now - this.since >= WINDOW) {
      this.since = now;
      this.given = 0;
    }
    if (this.given < AT_ONCE) {
      this.given += 1;
      answer();
      return;
    }
    this.late.push(answer);
    if (this.late.length === 1) this.goOn(this.late, 0);
  }

  private goOn(late: readonly (() => void)[], from: number): void {
    setImmediate(() => {
      const to = Math.min(from + AT_ONCE, late.length);
      for (let next = from; next < to; next++) late[next]?.();
      if (to < late.length) this.goOn(late, to);
      else this.late = [];
    });
  }
}
