import { describe, expect, test } from 'vitest';
import { createLocker, LockError, type Lock, type Locker } from '../src/index.ts';
import { Traces } from '../src/util/traces.ts';
import { bench, rejection, settled, variant } from './kit.ts';

const stackOf = (error: unknown): string => String((error as Error).stack);

/** That an error names the function that asked, under its own name and message. */
function expectCaller(error: unknown, caller: string): void {
  expect(error).toBeInstanceOf(LockError);
  const { name, message } = error as Error;
  const [first, ...frames] = stackOf(error).split('\n');
  expect(first).toBe(`${name}: ${message}`);
  expect(frames.join('\n')).toContain(caller);
  expect(Object.keys(error as object)).not.toContain('stack');
}

describe('an error that ends a wait has the stack of the call', () => {
  // Not async: nobody awaits inside them.
  const namedCaller = (locker: Locker, ...rest: Parameters<Locker['lock']>): Promise<Lock> =>
    locker.lock(...rest);
  const namedTry = (locker: Locker, ...rest: Parameters<Locker['lock']>): Promise<Lock | null> =>
    locker.tryLock(...rest);
  const namedWork = (locker: Locker, key: string | string[]): Promise<void> =>
    locker.withLock(key, { wait: 100 }, () => {});

  test.each([{ key: 'k' }, { key: ['a', 'k'] }])(
    'keeps the stack of the call when the lock stays busy: $key',
    async ({ key }) => {
      const { locker, clock } = bench();
      await locker().lock('k');
      const one = locker();
      const errors = [
        rejection(namedCaller(one, key, { wait: 100 })),
        rejection(namedWork(one, key)),
      ];
      await clock.advance(100);
      const [caller, work] = await Promise.all(errors);
      expectCaller(caller, 'namedCaller');
      expectCaller(work, 'namedWork');
    },
  );

  test('keeps the stack of each call when the store fails for several', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    faults.fail({ times: Infinity });
    const errors = [
      rejection(namedCaller(one, 'k', { wait: 100 })),
      rejection(namedWork(one, 'k')),
    ];
    await clock.advance(100);
    const [first, second] = await Promise.all(errors);
    expect(first).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', key: 'k' });
    expectCaller(first, 'namedCaller');
    expectCaller(second, 'namedWork');
    expect(stackOf(first)).not.toContain('namedWork');
    faults.dropReply({ times: Infinity });
    const single = rejection(namedTry(one, 'j'));
    await clock.advance(5_000);
    expectCaller(await single, 'namedTry');
  });

  test('keeps the stack of the call when the queue is full or the locker closed', async () => {
    const { locker } = bench((store) =>
      variant(store, { acquire: async (request) => store.acquire(request) }),
    );
    const one = locker({ maxWaiters: 0 });
    await locker().lock('k');
    expectCaller(await rejection(namedCaller(one, 'k')), 'namedCaller');
    const two = locker();
    const closed = rejection(namedCaller(two, 'k'));
    await settled();
    await two.close();
    expectCaller(await closed, 'namedCaller');
  });

  test('keeps the stack of the call when inspect or forceRelease fails', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    const namedLook = (): Promise<unknown> => one.inspect('k');
    faults.dropReply({ times: Infinity });
    const look = rejection(namedLook());
    await clock.advance(2_000);
    expectCaller(await look, 'namedLook');
  });
});

test('an extension that the store does not confirm has the stack of the call', async () => {
  const { locker, clock, faults } = bench();
  const lock = await locker().lock('k');
  const namedExtension = (): Promise<void> => lock.extend();
  faults.dropReply({ verb: 'renew' });
  const extended = rejection(namedExtension());
  await clock.advance(2_000);
  const error = await extended;
  expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', phase: 'renew', key: 'k' });
  expectCaller(error, 'namedExtension');
});

test('among a crowd an error names at least those who await it', async () => {
  const locker = createLocker();
  const lock = await locker.lock('k');
  const namedCrowd = async (): Promise<unknown> => {
    await locker.lock('k', { wait: 5 });
    return undefined;
  };
  const errors = await Promise.all(Array.from({ length: 1_000 }, () => rejection(namedCrowd())));
  for (const error of errors) expectCaller(error, 'namedCrowd');
  await lock.release();
});

test('of calls that go on coming, one in each ms keeps its stack', () => {
  const traces = new Traces();
  let kept = 0;
  for (let call = 0; call < 8_000; call++) {
    if (traces.here(call / 4) !== undefined) kept += 1;
  }
  // In two seconds, and a hundred at once.
  expect(kept).toBeGreaterThan(1_900);
  expect(kept).toBeLessThanOrEqual(2_100);
});

test('the reason of the caller’s own signal stays as it is', async () => {
  const { locker } = bench();
  await locker().lock('k');
  const gone = new AbortController();
  const waiting = rejection(locker().lock('k', { signal: gone.signal }));
  await settled();
  const mine = new Error('mine');
  const { stack } = mine;
  gone.abort(mine);
  expect(await waiting).toBe(mine);
  expect(mine.stack).toBe(stack);
});
