import { finished, type Readable } from 'node:stream';
import { ConsumerLock, type Acquire } from './consumer-lock.ts';
import { GuardedIterator } from './guarded-iterator.ts';
import type { LockUse } from './lock-use.ts';
import { isAsyncIterable, isWebResponse, isWebStream, nodeStreamOf } from './kinds.ts';

/** Under which lock a result is consumed. */
export interface Following {
  /** Of the method, which still runs. */
  readonly lockUse: LockUse;
  /** Takes the lock anew, for whoever consumes the result when its hold is over. */
  readonly acquire: Acquire;
  /**
   * Whether the lock is kept for the first consumer. Not where nothing runs before the result is
   * consumed: then it is taken when it is.
   */
  readonly kept: boolean;
}

/** The lock of whoever consumes a result. */
export function consumerLockOf({ lockUse, acquire, kept }: Following): ConsumerLock {
  return new ConsumerLock(acquire, kept ? lockUse.expect() : undefined);
}

/**
 * Holds the lock while a result that is no Observable is consumed: hands out the result itself, or a
 * stand-in for a stream or an async iterable.
 */
export function followBody(value: unknown, following: Following): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const stream = nodeStreamOf(value);
  if (stream !== undefined) {
    followStream(stream, following.lockUse);
    return value;
  }
  if (isWebResponse(value)) {
    const { body, bodyUsed } = value;
    return body === null || bodyUsed
      ? value
      : new Response(guardedWebStream(body, consumerLockOf(following)), value);
  }
  if (isWebStream(value))
    return value.locked ? value : guardedWebStream(value, consumerLockOf(following));
  return isAsyncIterable(value) ? guardedIterable(value, consumerLockOf(following)) : value;
}

/** Holds the lock from the moment when somebody reads a stream until it ends, fails or is closed. */
function followStream(stream: Readable, lockUse: LockUse): void {
  if (stream.destroyed || stream.readableEnded) return;
  const use = lockUse.expect();
  const read = (event: string | symbol): void => {
    if (event !== 'data' && event !== 'readable') return;
    stream.off('newListener', read);
    // Nothing may come out of it without the lock.
    if (!use.begin()) stream.destroy(use.lockUse.lock?.signal.reason as Error | undefined);
  };
  finished(stream, { writable: false }, () => {
    stream.off('newListener', read);
    void use.end();
  });
  const isRead = stream.listenerCount('data') + stream.listenerCount('readable') > 0;
  if (isRead) use.begin();
  else stream.on('newListener', read);
}

/** The iterable, its iterators under the lock. */
function guardedIterable(
  iterable: AsyncIterable<unknown>,
  consumerLock: ConsumerLock,
): AsyncIterable<unknown> {
  const open = (): AsyncIterator<unknown> => iterable[Symbol.asyncIterator]();
  // A generator is its own iterator, and can be pulled and closed without asking for one.
  const own = iterable as Partial<AsyncIterator<unknown>>;
  const only =
    typeof own.next === 'function'
      ? new GuardedIterator(consumerLock, open, (reason) => own.return?.(reason))
      : undefined;
  const iterate = (): GuardedIterator => only ?? new GuardedIterator(consumerLock, open);
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

function guardedWebStream(stream: ReadableStream, consumerLock: ConsumerLock): ReadableStream {
  const iterator = new GuardedIterator(
    consumerLock,
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
