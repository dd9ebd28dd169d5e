import { finished, type Readable } from 'node:stream';
import { isObservable } from 'rxjs';
import { Claim, type Take } from './claim.ts';
import { GuardedIterator } from './guarded-iterator.ts';
import { guardedObservable } from './guarded-observable.ts';
import type { Hold } from './hold.ts';
import { isAsyncIterable, isWebResponse, isWebStream, nodeStreamOf } from './kinds.ts';

/** Under which lock a result is consumed. */
export interface Following {
  /** Of the method, which still runs. */
  readonly hold: Hold;
  /** Takes the lock anew, for whoever consumes the result when its hold is over. */
  readonly take: Take;
  /**
   * Whether the lock is kept for the first consumer. Not where nothing runs before the result is
   * consumed: then it is taken when it is.
   */
  readonly kept: boolean;
}

/**
 * What is handed out in place of a method's result: the result itself, or where it runs on after the
 * method (an Observable, an async iterable, a stream), a stand-in or the same object under watch, so
 * that the lock is held while it does.
 */
export function follow(result: unknown, following: Following): unknown {
  if (!isObservable(result)) return followBody(result, following);
  return guardedObservable({ claim: claimOf(following), open: () => result });
}

function claimOf({ hold, take, kept }: Following): Claim {
  return new Claim(take, kept ? hold.expect() : undefined);
}

/** As {@link follow}, for what an Observable may emit: all but Observables. */
export function followBody(value: unknown, following: Following): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const stream = nodeStreamOf(value);
  if (stream !== undefined) {
    followStream(stream, following.hold);
    return value;
  }
  if (isWebResponse(value)) {
    const { body, bodyUsed } = value;
    return body === null || bodyUsed
      ? value
      : new Response(guardedWebStream(body, claimOf(following)), value);
  }
  if (isWebStream(value)) return value.locked ? value : guardedWebStream(value, claimOf(following));
  return isAsyncIterable(value) ? guardedIterable(value, claimOf(following)) : value;
}

/** Holds the lock from the moment when somebody reads a stream until it ends, fails or is closed. */
function followStream(stream: Readable, hold: Hold): void {
  if (stream.destroyed || stream.readableEnded) return;
  const part = hold.expect();
  const read = (event: string | symbol): void => {
    if (event !== 'data' && event !== 'readable') return;
    stream.off('newListener', read);
    // Nothing may come out of it without the lock.
    if (!part.begin()) stream.destroy(part.hold.lock?.signal.reason as Error | undefined);
  };
  finished(stream, { writable: false }, () => {
    stream.off('newListener', read);
    void part.end();
  });
  const isRead = stream.listenerCount('data') + stream.listenerCount('readable') > 0;
  if (isRead) part.begin();
  else stream.on('newListener', read);
}

/** The iterable, its iterators under the lock. */
function guardedIterable(iterable: AsyncIterable<unknown>, claim: Claim): AsyncIterable<unknown> {
  const open = (): AsyncIterator<unknown> => iterable[Symbol.asyncIterator]();
  // A generator is its own iterator, and can be pulled and closed without asking for one.
  const own = iterable as Partial<AsyncIterator<unknown>>;
  const only =
    typeof own.next === 'function'
      ? new GuardedIterator(claim, open, (reason) => own.return?.(reason))
      : undefined;
  const iterate = (): GuardedIterator => only ?? new GuardedIterator(claim, open);
  return new Proxy(iterable, {
    get(target, property) {
      if (property === Symbol.asyncIterator) return iterate;
      const holder = only !== undefined && property in only ? only : target;
      const value: unknown = Reflect.get(holder, property, holder);
      // Methods of generators, and of classes with private fields, do not work on a proxy.
      const inherited = typeof value === 'function' && !Object.hasOwn(target, property);
      return inherited ? value.bind(holder) : value;
    },
  });
}

function guardedWebStream(stream: ReadableStream, claim: Claim): ReadableStream {
  const iterator = new GuardedIterator(
    claim,
    () => stream[Symbol.asyncIterator](),
    (reason) => stream.cancel(reason),
  );
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel(reason: unknown) {
        await iterator.return(reason);
      },
    },
    // Nothing is pulled before somebody reads.
    { highWaterMark: 0 },
  );
}
