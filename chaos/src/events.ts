/** How an acquisition wants one of its keys. */
export interface Want {
  readonly key: string;
  readonly weight: number;
  readonly limit: number;
  readonly shared: boolean;
}

/** The process that tells it, and a number of its own: one acquisition, or one term of a candidate. */
export type CallId = `${number}.${number}`;

/**
 * What processes tell, one line of JSON each, and what is done to them. `at` is a time of the machine's
 * monotonic clock, in ms: the same clock for all of its processes.
 */
export type Event =
  /** The first of a history. */
  | {
      readonly what: 'began';
      readonly topology: string;
      readonly library: string;
      readonly seed: number;
      /** Of every lock, in ms. */
      readonly ttl: number;
    }
  | { readonly what: 'ready' }
  /** An acquisition begins after `at`. `atLeast`: its `holdAtLeast`. */
  | {
      readonly what: 'asked';
      readonly call: CallId;
      readonly wants: readonly Want[];
      readonly owner?: string | undefined;
      readonly atLeast?: number | undefined;
      readonly at: number;
    }
  /** It holds its lock: `assertHeld()` has passed before `at`. The tokens are in the order of its keys. */
  | {
      readonly what: 'granted';
      readonly call: CallId;
      readonly tokens: readonly number[];
      /** The owner that it was given, where it named none. */
      readonly owner: string;
      readonly at: number;
    }
  /** It still held it: `assertHeld()` has passed after `at`. */
  | { readonly what: 'held'; readonly call: CallId; readonly at: number }
  /** It was told of the loss before `at`. */
  | { readonly what: 'lost'; readonly call: CallId; readonly reason: string; readonly at: number }
  /** The counter took what it wrote under the key: the number that it had read, and one. */
  | {
      readonly what: 'wrote';
      readonly call: CallId;
      readonly key: string;
      readonly token: number;
      readonly count: number;
    }
  /** The acquisition is over, and its lock released, before `at`. */
  | { readonly what: 'ended'; readonly call: CallId; readonly how: Ending; readonly at: number }
  /** `forceRelease(key, { owner })` was called after `from`, and had its answer before `at`. */
  | {
      readonly what: 'forced';
      readonly key: string;
      readonly owner?: string | undefined;
      readonly from: number;
      readonly at: number;
      /** Whether the server said that it did it, or it may still do it. */
      readonly sure: boolean;
    }
  /** What must not be: an acquisition or a release that fails, an unhandled rejection. */
  | { readonly what: 'failed'; readonly error: string }
  /** A process was killed, or ended by itself, `well` or not. */
  | {
      readonly what: 'exited';
      readonly process: number;
      readonly how: 'killed' | 'well' | 'badly';
      readonly at: number;
    }
  /** From `from` to `at` the servers may have forgotten what they had acknowledged. */
  | { readonly what: 'forgot'; readonly why: string; readonly from: number; readonly at: number }
  /** What was done, for those who read the history. */
  | { readonly what: 'fault'; readonly name: string; readonly from: number; readonly at: number }
  /** Found when all was over. */
  | { readonly what: 'left'; readonly thing: string };

/** How an acquisition ends: after it was granted, or without. */
export type Ending = 'released' | 'busy' | 'aborted' | 'store failed' | 'resigned';

/** The same clock for all processes of a machine. */
export const machineNow = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;
