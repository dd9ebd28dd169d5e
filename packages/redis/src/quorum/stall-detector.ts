import type { QuorumClock, QuorumTimer } from './node.ts';

/** A server that owes an answer for longer than this, in ms, is not asked for more. */
const STALLED_AFTER = 1_000;

/**
 * Notices that a server does not answer any more, though it is connected: what was asked would only
 * pile up, to be executed when it is of no use.
 */
export class StallDetector {
  isStalled = false;
  private readonly asked = new Set<object>();
  private timer: QuorumTimer | undefined;

  constructor(private readonly clock: QuorumClock) {}

  async during<T>(answer: Promise<T>): Promise<T> {
    const request = {};
    this.asked.add(request);
    if (this.timer === undefined) this.watch();
    try {
      return await answer;
    } finally {
      this.asked.delete(request);
      this.isStalled = false;
      if (this.asked.size > 0) this.watch();
      else this.stop();
    }
  }

  private watch(): void {
    this.stop();
    this.timer = this.clock.setTimeout(() => {
      this.timer = undefined;
      this.isStalled = this.asked.size > 0;
    }, STALLED_AFTER);
    this.timer.unref?.();
  }

  private stop(): void {
    if (this.timer !== undefined) this.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }
}
