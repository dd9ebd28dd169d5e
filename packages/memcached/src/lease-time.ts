/** Leases are whole seconds: `ceil(ttl)` of them, in ms. */
const wholeSeconds = (ms: number): number => Math.ceil(ms / 1_000);

/** A stalled server counts time late, and may then end an item early by as much. */
const STALL = 100;

/**
 * The exptime, in seconds, of an item that must live for `ms` at least. The server's clock ticks once
 * a second, so that an item with an exptime of n lives n − 1 to n seconds. Now and then it leaves out a
 * second (see `docs/guarantees.md`), and the item lives a second less.
 */
export function exptimeFor(ms: number): number {
  return Math.max(wholeSeconds(ms), 0) + 1;
}

/** How long, in ms, an item that was written with `exptimeFor(ms)` surely lives. */
export function promisedFor(ms: number): number {
  return wholeSeconds(ms) * 1_000 - STALL;
}
