import type { Time } from './time.ts';

const FIRST = 50;
const LONGEST = 1_000;

/** Pauses between tries, in ms: from 50, doubled each time up to 1,000, of which half to all is taken. */
export class Backoff {
  private pause = FIRST;

  next(time: Time): number {
    const { pause } = this;
    this.pause = Math.min(pause * 2, LONGEST);
    return pause * (0.5 + time.random() / 2);
  }

  reset(): void {
    this.pause = FIRST;
  }
}
