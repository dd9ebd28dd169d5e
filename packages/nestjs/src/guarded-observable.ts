import { AsyncLocalStorage } from 'node:async_hooks';
import { isPromiseLike, LockAbortedError } from '@holdfast/core';
import {
  EMPTY,
  from,
  isObservable,
  mergeMap,
  Observable,
  of,
  Subject,
  takeUntil,
  type Subscriber,
} from 'rxjs';
import type { ConsumerLock } from './consumer-lock.ts';
import { followBody } from './follow-body.ts';
import type { Use } from './lock-use.ts';

/** What differs between those who guard an Observable. */
export interface GuardedSource {
  readonly consumerLock: ConsumerLock;
  /** Called in the lock's context, once for each subscription. */
  readonly open: () => Observable<unknown>;
  /** The values of what stands for the result because the lock is busy. */
  readonly instead?: (value: unknown) => Observable<unknown>;
  /** Aborted, it ends the wait for the lock. */
  readonly control?: AbortController | undefined;
  /** The source is done with, in whatever way. By default its part is over then. */
  readonly done?: (use: Use, how: Ending) => Promise<void>;
}

/** How a source ends: by itself, or because its subscriber left. */
export type Ending = 'completed' | 'failed' | 'abandoned';

/**
 * An Observable whose source is subscribed under a lock: held from the subscription until it completes,
 * fails or is unsubscribed, and then while streams that it emitted are consumed.
 */
export function guardedObservable(source: GuardedSource): Observable<unknown> {
  return new Observable((subscriber) => {
    const control = source.control ?? new AbortController();
    // What the subscriber does with a value is not done under the lock.
    const outside = AsyncLocalStorage.snapshot();
    let waiting = true;
    subscriber.add(() => {
      if (waiting) control.abort(new LockAbortedError('Nobody is subscribed any more.'));
    });
    const begin = async (): Promise<void> => {
      const begun = await source.consumerLock.begin(control);
      waiting = false;
      if (!('use' in begun)) {
        const values = (source.instead ?? insteadOf)(begun.value);
        subscriber.add(values.subscribe(subscriber));
      } else if (subscriber.closed) {
        await begun.use.end();
      } else {
        new Subscribed(source, begun.use, subscriber, outside).start();
      }
    };
    begin().catch((error: unknown) => subscriber.error(error));
  });
}

/** A subscription to a source under its lock. */
class Subscribed {
  private readonly stop = new Subject<void>();
  /** While the source is being subscribed, it may emit, complete and be unsubscribed already. */
  private starting = true;
  private over = false;
  private last: unknown = undefined;

  constructor(
    private readonly source: GuardedSource,
    private readonly use: Use,
    private readonly subscriber: Subscriber<unknown>,
    private readonly outside: <R>(work: () => R) => R,
  ) {}

  start(): void {
    const { source, use, subscriber } = this;
    subscriber.add(() => this.left());
    try {
      use.lockUse.run(() => {
        source
          .open()
          .pipe(takeUntil(this.stop))
          .subscribe({
            next: (value) => this.next(value),
            error: (error) => this.failed(error),
            complete: () => this.completed(),
          });
      });
    } catch (error) {
      this.failed(error);
    }
    this.starting = false;
    if (subscriber.closed) this.left();
  }

  private next(value: unknown): void {
    const followed = followBody(value, {
      lockUse: this.use.lockUse,
      acquire: this.source.consumerLock.acquire,
      kept: true,
    });
    this.last = value;
    this.outside(() => this.subscriber.next(followed));
  }

  private failed(error: unknown): void {
    if (this.over) return;
    void this.done('failed').then(() => this.outside(() => this.subscriber.error(error)));
  }

  private completed(): void {
    // Stopped, it completes too.
    if (this.over || this.subscriber.closed) return;
    try {
      this.use.lockUse.assertKept(this.last);
    } catch (error) {
      this.failed(error);
      return;
    }
    void this.done('completed').then(() => this.outside(() => this.subscriber.complete()));
  }

  private left(): void {
    if (this.over) return;
    this.stop.next();
    if (!this.starting) void this.done('abandoned');
  }

  private done(how: Ending): Promise<void> {
    this.over = true;
    return this.source.done?.(this.use, how) ?? this.use.end();
  }
}

/** What stands for a result, as the values of an Observable; none if it is undefined. */
export function insteadOf(value: unknown): Observable<unknown> {
  return value === undefined ? EMPTY : observableOf(value);
}

/** What a method returned, as its values. */
export function observableOf(result: unknown): Observable<unknown> {
  if (isObservable(result)) return result;
  if (!isPromiseLike(result)) return of(result);
  return from(result).pipe(mergeMap((value) => (isObservable(value) ? value : of(value))));
}
