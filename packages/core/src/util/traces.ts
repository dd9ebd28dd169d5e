/** The stack of a call, written out only if an error needs it. */
export interface Trace {
  name?: string;
  message?: string;
  readonly stack?: string;
}

/** So many stacks are kept per ms, once those that may be kept at once are used up: 1 % of a processor's time. */
const PER_MS = 1;
const AT_ONCE = 100;

const traced = new WeakSet<Error>();

/** The stack of the calling code, for an error that may come of it later, from a timer. */
export function traceHere(): Trace {
  const trace: Trace = {};
  Error.captureStackTrace(trace, traceHere);
  return trace;
}

/**
 * Keeps the stacks of calls that wait, for an answer too. To keep one takes some 10 µs, a sixth of all that
 * a lock on a server costs this process, so those who come in crowds go without: they have what
 * {@link restacked} finds.
 */
export class Traces {
  private left = AT_ONCE;
  private since = 0;

  /** @param now monotonic ms */
  here(now: number): Trace | undefined {
    this.left = Math.min(AT_ONCE, this.left + (now - this.since) * PER_MS);
    this.since = now;
    if (this.left < 1) return undefined;
    this.left -= 1;
    return traceHere();
  }
}

/** Gives an error the stack of the call that it ends, where that is known. */
export function withTrace<E>(error: E, trace: Trace | undefined): E {
  if (trace === undefined || !(error instanceof Error)) return error;
  traced.add(error);
  let stack: string | undefined;
  Object.defineProperty(error, 'stack', {
    configurable: true,
    enumerable: false,
    get: () => {
      if (stack === undefined) {
        // V8 writes a stack when it is first read, under the name and message of that moment.
        trace.name = error.name;
        trace.message = error.message;
        stack = trace.stack ?? '';
      }
      return stack;
    },
    set: (changed: string) => {
      stack = changed;
    },
  });
  return error;
}

/**
 * An error of the locker's as a reaction to it throws it again: names those who await that, unless the stack
 * of the call was kept.
 */
export function restacked(error: unknown): unknown {
  if (error instanceof Error && !traced.has(error)) Error.captureStackTrace(error, restacked);
  return error;
}
