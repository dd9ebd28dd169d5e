import { isPromiseLike } from '@holdfast/core';
import type { Observable } from 'rxjs';
import { ConsumerLock, type Acquire } from './consumer-lock.ts';
import { follow } from './follow.ts';
import { GuardedIterator } from './guarded-iterator.ts';
import { guardedObservable, observableOf } from './guarded-observable.ts';
import type { LockUse } from './lock-use.ts';
import { isAsyncIterable } from './kinds.ts';
import { LockedResult } from './locked-result.ts';

/** What a method returns, as far as that can be known before it runs. */
export type ResultKind = 'promise' | 'observable' | 'iterable' | 'unknown';

/** One call of a method that runs under a lock. */
export interface LockedCall {
  readonly acquire: Acquire;
  /** Runs the method. */
  readonly invoke: () => unknown;
  /** The method has run: what else the lock is held for. */
  readonly invoked: (lockUse: LockUse) => void;
  /** The values of an Observable in place of the result, because the lock is busy. */
  readonly instead: (value: unknown) => Observable<unknown>;
}

/**
 * @param target the prototype that has the method
 */
export function resultKindOf(
  method: object,
  target: object,
  property: string | symbol,
): ResultKind {
  const tag = Object.prototype.toString.call(method);
  if (tag === '[object AsyncFunction]') return 'promise';
  if (tag === '[object AsyncGeneratorFunction]') return 'iterable';
  const declared = Reflect.getMetadata('design:returntype', target, property) as
    | { prototype?: { lift?: unknown; subscribe?: unknown } }
    | undefined;
  if ((declared as unknown) === Promise) return 'promise';
  const { lift, subscribe } = declared?.prototype ?? {};
  return typeof lift === 'function' && typeof subscribe === 'function' ? 'observable' : 'unknown';
}

/** Calls a method under a lock, so that its caller gets what the method is declared to return. */
export function callLocked(kind: ResultKind, call: LockedCall): unknown {
  if (kind === 'promise') return run(call);
  if (kind === 'observable') return observe(call);
  if (kind === 'iterable') return iterate(call);
  return new LockedResult({
    run: () => run(call),
    observe: () => observe(call),
    observeRun: observableOf,
    iterate: () => iterate(call),
    iterateRun: settledIterator,
  });
}

/** At once; the lock is held until the promise has settled, and while its value is consumed. */
async function run(call: LockedCall): Promise<unknown> {
  const acquired = await call.acquire(new AbortController());
  if (!('lockUse' in acquired)) return acquired.value;
  const { lockUse } = acquired;
  const use = lockUse.begin();
  let result: unknown;
  try {
    const returned = lockUse.run(() => call.invoke());
    const value = await returned;
    lockUse.assertKept(value);
    call.invoked(lockUse);
    result = follow(value, { lockUse, acquire: call.acquire, kept: isPromiseLike(returned) });
  } catch (error) {
    await use.end();
    throw error;
  }
  await use.end();
  return result;
}

/** When it is subscribed, each time. */
function observe(call: LockedCall): Observable<unknown> {
  return guardedObservable({
    consumerLock: new ConsumerLock(call.acquire),
    open: () => observableOf(call.invoke()),
    instead: call.instead,
  });
}

/** When it is pulled. */
function iterate(call: LockedCall): GuardedIterator {
  return new GuardedIterator(new ConsumerLock(call.acquire), () => iteratorOf(call.invoke()));
}

function iteratorOf(result: unknown): AsyncIterator<unknown> {
  if (isAsyncIterable(result)) return result[Symbol.asyncIterator]();
  return settledIterator(Promise.resolve(result));
}

/** Of what a promise resolves to; a value that is no iterable is the only one. */
async function* settledIterator(promise: Promise<unknown>): AsyncGenerator {
  const value = await promise;
  if (isAsyncIterable(value)) yield* value;
  else yield value;
}
