/** What a worker tells, one line of JSON each. Times are of the machine's monotonic clock, in ms. */
export type Note =
  | { readonly what: 'ready' }
  /** It holds a lock: `assertHeld()` has passed before `at`. */
  | { readonly what: 'began'; readonly key: string; readonly token: number; readonly at: number }
  /** It still held it: `assertHeld()` has passed after `at`. */
  | { readonly what: 'held'; readonly key: string; readonly token: number; readonly at: number }
  | {
      readonly what: 'done';
      /** Whether its write was accepted, or it came after a later holder's. */
      readonly wrote: boolean;
      readonly key: string;
      readonly waited: number;
    }
  | { readonly what: 'lost'; readonly reason: string }
  | { readonly what: 'gave-up' }
  /** What must not be: an acquisition or a release that fails, an unhandled rejection. */
  | { readonly what: 'failed'; readonly error: string };

/** The same clock for all processes of a machine. */
export const machineNow = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

export const TTL = 2_000;
export const KEYS = ['red', 'green', 'blue'];
