import { defer, from, lastValueFrom, Observable, of } from 'rxjs';
import { describe, expect, test } from 'vitest';
import { aMoment } from './kit/index.ts';
import { ALL, collect, keyNow, lock, method, rows, service, useService } from './kit/results.ts';

useService();

describe('a result of which nothing is known before', () => {
  test('a result of unknown kind is a promise like any other', async () => {
    method.result = async () => keyNow();
    const value = service.plain() as Promise<unknown>;
    expect(value).toBeInstanceOf(Promise);
    expect(value.then((n) => n).constructor).toBe(Promise);
    await expect(value).resolves.toBe('k');
    await expect((service.plain() as Promise<unknown>).finally(() => {})).resolves.toBe('k');
    const error = new Error('of the method');
    method.result = async () => Promise.reject(error);
    await expect(service.plain()).rejects.toBe(error);
    await expect((service.plain() as Promise<unknown>).catch((e: unknown) => e)).resolves.toBe(
      error,
    );
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('a result of unknown kind takes no lock until it is consumed, however late', async () => {
    method.result = () => defer(() => of(keyNow()));
    const observed = service.plain() as Observable<unknown>;
    await aMoment();
    method.result = () => rows();
    const iterated = service.plain() as AsyncGenerator;
    await aMoment();
    await expect(lock.isFree()).resolves.toBe(true);
    const other = await lock.locker.lock('k');
    const late = Promise.all([lastValueFrom(observed), collect(iterated)]);
    await aMoment();
    await other.release();
    await expect(late).resolves.toEqual(['k', ALL]);
    await expect(lastValueFrom(observed)).resolves.toBe('k');
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('a result of unknown kind runs once, however often it is awaited', async () => {
    let runs = 0;
    method.result = async () => (runs += 1);
    const value = service.plain() as Promise<number>;
    await expect(Promise.all([value, value, value.then((n) => n)])).resolves.toEqual([1, 1, 1]);
  });

  test('a promise that is subscribed has one value', async () => {
    method.result = async () => keyNow();
    await expect(lastValueFrom(service.plain() as Observable<unknown>)).resolves.toBe('k');
    await expect(lastValueFrom(from(service.plain() as Promise<unknown>))).resolves.toBe('k');
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test.each([{ value: { a: 1 } }, { value: 'text' }, { value: ['x'] }, { value: null }])(
    '$value is handed out as it is, with the lock free',
    async ({ value }) => {
      method.result = () => value;
      await expect(service.later()).resolves.toBe(value);
      await expect(lock.isFree()).resolves.toBe(true);
    },
  );
});
