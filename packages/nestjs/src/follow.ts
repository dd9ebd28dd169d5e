import { isObservable } from 'rxjs';
import { consumerLockOf, followBody, type Following } from './follow-body.ts';
import { guardedObservable } from './guarded-observable.ts';

/**
 * What is handed out in place of a method's result: the result itself, or where it runs on after the
 * method (an Observable, an async iterable, a stream), a stand-in or the same object under watch, so
 * that the lock is held while it does.
 */
export function follow(result: unknown, following: Following): unknown {
  if (!isObservable(result)) return followBody(result, following);
  return guardedObservable({ consumerLock: consumerLockOf(following), open: () => result });
}
