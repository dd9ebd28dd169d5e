import type { Time } from './time.ts';

/** So many ids have one prefix: what four digits can count. */
const PER_PREFIX = 10_000;

/**
 * Ids of acquisitions: 8 random characters (48 bits) and a count. At most 12 characters, because V8
 * keeps strings of that length flat, and every held lock keeps its id.
 */
export class Ids {
  private prefix = '';
  private count = PER_PREFIX;

  constructor(private readonly time: Time) {}

  next(): string {
    if (this.count === PER_PREFIX) {
      this.prefix = this.time.identity().slice(0, 8);
      this.count = 0;
    }
    return this.prefix + this.count++;
  }
}
