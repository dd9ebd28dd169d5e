import {
  concat,
  defer,
  firstValueFrom,
  from,
  isObservable,
  lastValueFrom,
  map,
  merge,
  NEVER,
  Observable,
  of,
  Subject,
  take,
  toArray,
} from 'rxjs';
import { describe, expect, test } from 'vitest';
import { aMoment, gate, until } from './kit/index.ts';
import { keyNow, lock, method, service, warn, useService } from './kit/results.ts';

useService();

describe.each<{ how: string; observe: () => Observable<unknown> }>([
  { how: 'declared', observe: () => service.declared() },
  { how: 'not declared', observe: () => service.plain() as Observable<unknown> },
])('an Observable that is returned ($how)', ({ observe }) => {
  test('an Observable holds the lock from the subscription until it completes', async () => {
    const values = new Subject<string>();
    method.result = () => defer(() => concat(of(keyNow()), values));
    const observed = observe();
    expect(isObservable(observed)).toBe(true);
    const all = lastValueFrom(observed.pipe(toArray()));
    await until(() => values.observed);
    await expect(lock.isFree()).resolves.toBe(false);
    values.next('x');
    // Longer than its ttl: it is renewed.
    await lock.outlast();
    await expect(lock.isFree()).resolves.toBe(false);
    values.complete();
    await expect(all).resolves.toEqual(['k', 'x']);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an Observable that fails releases the lock, with the same error', async () => {
    const error = new Error('of the source');
    method.result = () => defer(() => Promise.reject(error));
    await expect(lastValueFrom(observe())).rejects.toBe(error);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an Observable fails if its method throws', async () => {
    const error = new Error('of the method');
    method.result = () => {
      throw error;
    };
    await expect(lastValueFrom(observe())).rejects.toBe(error);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an Observable that is unsubscribed releases the lock after its source', async () => {
    let freeAtTeardown: Promise<boolean> | undefined;
    const torn = gate();
    method.result = () =>
      new Observable(() => () => {
        freeAtTeardown = lock.isFree();
        torn.open();
      });
    const subscription = observe().subscribe();
    await until(async () => !(await lock.isFree()));
    subscription.unsubscribe();
    await torn.opened;
    await expect(freeAtTeardown).resolves.toBe(false);
    await lock.untilFree();
  });

  test('an Observable releases the lock when its subscriber has enough at once', async () => {
    method.result = () =>
      new Observable<number>((subscriber) => {
        for (let n = 0; !subscriber.closed; n += 1) subscriber.next(n);
      });
    await expect(firstValueFrom(observe())).resolves.toBe(0);
    await lock.untilFree();
  });

  test('an Observable that is unsubscribed waits for the lock no more', async () => {
    let opened = 0;
    method.result = () => {
      opened += 1;
      return of('x');
    };
    const other = await lock.locker.lock('k');
    const subscription = observe().subscribe();
    await aMoment();
    subscription.unsubscribe();
    await other.release();
    await aMoment();
    expect(opened).toBe(0);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an Observable runs for one subscriber after the other', async () => {
    let running = 0;
    let most = 0;
    method.result = () =>
      defer(async () => {
        running += 1;
        most = Math.max(most, running);
        await aMoment();
        running -= 1;
        return keyNow();
      });
    const observed = observe();
    await expect(
      lastValueFrom(merge(observed, observed, from(observed)).pipe(toArray())),
    ).resolves.toEqual(['k', 'k', 'k']);
    expect(most).toBe(1);
  });

  test('what a subscriber does with a value does not run under the lock', async () => {
    method.result = () => of(1);
    const inside = observe().pipe(map(() => keyNow()));
    await expect(lastValueFrom(inside)).resolves.toBe('none');
  });
});

describe('an Observable', () => {
  test('an Observable that is never subscribed takes no lock', async () => {
    let ran = false;
    method.result = () => {
      ran = true;
      return NEVER;
    };
    service.declared();
    const derived = (service.plain() as Observable<unknown>).pipe(take(1));
    await aMoment();
    expect(ran).toBe(false);
    expect(derived).toBeInstanceOf(Observable);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an Observable that a promise resolves to keeps the lock until it completes', async () => {
    const values = new Subject<string>();
    method.result = () => values;
    const observed = (await service.later()) as Observable<unknown>;
    await expect(lock.isFree()).resolves.toBe(false);
    const all = lastValueFrom(observed.pipe(toArray()));
    await lock.outlast();
    await expect(lock.isFree()).resolves.toBe(false);
    values.complete();
    await expect(all).resolves.toEqual([]);
    await expect(lock.isFree()).resolves.toBe(true);
    // A second time it takes the lock anew.
    await expect(lastValueFrom(observed, { defaultValue: 'none' })).resolves.toBe('none');
  });

  test('an Observable that nobody subscribes to loses its lock with the ttl, and a warning is logged', async () => {
    method.result = () => of(1);
    const observed = await service.later();
    await expect(lock.isFree()).resolves.toBe(false);
    await lock.untilExpired();
    await until(() => warn.mock.calls.length === 1);
    expect(warn.mock.calls[0]?.[0]).toMatch(/Nobody consumed/);
    // Late, it takes the lock then.
    method.result = () => of(2);
    const other = await lock.locker.lock('k');
    const late = lastValueFrom(observed);
    await aMoment();
    await other.release();
    await expect(late).resolves.toBe(1);
  });

  test('an Observable that is awaited first takes the lock when it is subscribed', async () => {
    method.result = () => defer(() => of(keyNow()));
    const observed = await (service.plain() as Promise<Observable<unknown>>);
    await expect(lock.isFree()).resolves.toBe(true);
    await expect(lastValueFrom(observed)).resolves.toBe('k');
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an Observable whose lock is busy has no values, or those that stand for it', async () => {
    method.result = () => of('ran');
    const other = await lock.locker.lock('k');
    const all = (values: Observable<unknown>) => lastValueFrom(values.pipe(toArray()));
    await expect(all(service.skipped())).resolves.toEqual([]);
    await expect(all(service.instead())).resolves.toEqual(['instead']);
    await expect(all(service.observedNow())).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
    await other.release();
    await expect(all(service.skipped())).resolves.toEqual(['ran']);
  });
});
