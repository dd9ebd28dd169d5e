import { describe, expectTypeOf, test } from 'vitest';
import * as core from '../src/index.ts';
import {
  createLocker,
  currentLock,
  lock,
  LockAbortedError,
  LockArgumentError,
  LockerClosedError,
  LockLostError,
  LockMissingError,
  LockNotAcquiredError,
  LockReentryError,
  LockReleasedError,
  LockStoreError,
  memoryStore,
  setDefaultLocker,
  tryLock,
  tryWithLock,
  withLock,
  type Clock,
  type Key,
  type Lock,
  type LockError,
  type Locker,
  type LockerOptions,
  type LockEvents,
  type LockInfo,
  type LockOptions,
  type LockStore,
  type Outcome,
} from '../src/index.ts';

// What is here is checked by the compiler; running it shows that the names are there.
const locker: Locker = createLocker();
const takes = <Options>(...given: Options[]): Options[] => given;

describe('options', () => {
  test('may all be left out, or be undefined', () => {
    type Loose<T> = { [K in keyof T]?: T[K] | undefined };
    expectTypeOf<LockerOptions>().toEqualTypeOf<Loose<LockerOptions>>();
    expectTypeOf<LockOptions>().toEqualTypeOf<Loose<LockOptions>>();
    takes<Parameters<typeof createLocker>>([]);
    takes<Parameters<typeof memoryStore>>([{ clock: undefined }]);
    takes<Parameters<Locker['close']>>([{ drain: undefined }]);
    takes<LockerOptions['handoff']>({ max: undefined, tenure: undefined });
  });

  test('accept the known names and no others', () => {
    expectTypeOf<keyof LockerOptions>().toEqualTypeOf<
      | 'store'
      | 'namespace'
      | 'name'
      | 'label'
      | 'ttl'
      | 'wait'
      | 'maxHold'
      | 'safetyMargin'
      | 'storeTimeout'
      | 'handoff'
      | 'throwIfLost'
      | 'maxKeys'
      | 'maxWaiters'
      | 'maxWaiting'
      | 'clock'
    >();
    expectTypeOf<keyof LockOptions>().toEqualTypeOf<
      | 'ttl'
      | 'wait'
      | 'maxHold'
      | 'signal'
      | 'renew'
      | 'owner'
      | 'holdAtLeast'
      | 'onLost'
      | 'reentry'
      | 'label'
      | 'throwIfLost'
      | 'shared'
      | 'limit'
      | 'weight'
    >();
    expectTypeOf<LockerOptions['store']>().toEqualTypeOf<LockStore | undefined>();
    expectTypeOf<LockerOptions['clock']>().toEqualTypeOf<Clock | undefined>();
    expectTypeOf<LockOptions['reentry']>().toEqualTypeOf<
      'reject' | 'join' | 'ignore' | undefined
    >();
    takes<LockerOptions>({ handoff: false });
    takes<LockOptions>({ onLost: (error) => void (error satisfies LockLostError) });
  });

  test('take no null and no wrong type', () => {
    // @ts-expect-error null is not absent
    takes<LockOptions>({ ttl: null });
    // @ts-expect-error null is not absent
    takes<LockerOptions>({ store: null });
    // @ts-expect-error a number of ms
    takes<LockOptions>({ wait: '5s' });
    // @ts-expect-error true says nothing
    takes<LockerOptions>({ handoff: true });
    takes<Parameters<Locker['tryLock']>>(['k', { wait: 5 }]);
    takes<Parameters<Locker['list']>>([{ prefix: undefined, limit: undefined, cursor: undefined }]);
    // @ts-expect-error that is a number
    takes<Key>(42);
  });
});

describe('a key', () => {
  test('accepts a string or a readonly list of strings', () => {
    expectTypeOf<Key>().toEqualTypeOf<string | readonly string[]>();
    takes<Key>(['a', 'b'] as const);
  });
});

describe('a locker', () => {
  test('lends locks', () => {
    expectTypeOf<Locker['lock']>().returns.toEqualTypeOf<Promise<Lock>>();
    expectTypeOf<Locker['tryLock']>().returns.toEqualTypeOf<Promise<Lock | null>>();
    expectTypeOf<Locker['inspect']>().returns.toEqualTypeOf<Promise<LockInfo | null>>();
    expectTypeOf<Locker['forceRelease']>().returns.toEqualTypeOf<Promise<boolean>>();
    expectTypeOf<Locker['close']>().returns.toEqualTypeOf<Promise<void>>();
    expectTypeOf<Locker>().toExtend<AsyncDisposable>();
  });

  test('gives back what the work gives', () => {
    const number = (): Promise<number> => locker.withLock('k', () => 1);
    const text = (): Promise<string> => locker.withLock('k', undefined, async () => 'x');
    expectTypeOf(number).returns.toEqualTypeOf<Promise<number>>();
    expectTypeOf(text).returns.toEqualTypeOf<Promise<string>>();
    const nothing = (): Promise<void> =>
      locker.withLock(['a', 'b'], { wait: 5 }, (held) => {
        expectTypeOf(held).toEqualTypeOf<Lock>();
      });
    expectTypeOf(nothing).returns.toEqualTypeOf<Promise<void>>();
  });

  test('says whether it was acquired, and only then what the work gave', async () => {
    const outcome = await locker.tryWithLock('k', () => 42);
    expectTypeOf(outcome).toEqualTypeOf<Outcome<number>>();
    expectTypeOf<Outcome<number>>().toEqualTypeOf<
      { acquired: true; value: number } | { acquired: false; value?: undefined }
    >();
    const value = outcome.acquired ? outcome.value : 0;
    expectTypeOf(value).toEqualTypeOf<number>();
    // May be asked for without asking whether it was acquired.
    expectTypeOf(outcome.value).toEqualTypeOf<number | undefined>();
  });

  test('knows the payload of each of its events', () => {
    expectTypeOf<keyof LockEvents>().toEqualTypeOf<
      | 'acquired'
      | 'waiting'
      | 'not-acquired'
      | 'renewed'
      | 'lost'
      | 'released'
      | 'handoff'
      | 'bypassed'
      | 'store-error'
      | 'warning'
    >();
    const ends = locker.on('lost', ({ reason, heldFor, fencingToken, keys, owner, label }) => {
      expectTypeOf(reason).toEqualTypeOf<LockLostError['reason']>();
      expectTypeOf([heldFor, fencingToken]).toEqualTypeOf<number[]>();
      expectTypeOf(keys).toEqualTypeOf<readonly string[]>();
      expectTypeOf([owner, label]).toEqualTypeOf<string[]>();
    });
    expectTypeOf(ends).toEqualTypeOf<() => void>();
    expectTypeOf<LockEvents['store-error']['error']>().toEqualTypeOf<LockStoreError>();
    expectTypeOf<LockEvents['acquired']['waited']>().toEqualTypeOf<number>();
    expectTypeOf<LockEvents['released']['heldFor']>().toEqualTypeOf<number>();
    expectTypeOf<LockEvents['not-acquired']['waited']>().toEqualTypeOf<number>();
  });
});

describe('a lock', () => {
  test('has readonly properties', () => {
    expectTypeOf<Lock>().toExtend<Readonly<Lock>>();
    expectTypeOf<Lock['keys']>().toEqualTypeOf<readonly string[]>();
    expectTypeOf<Lock['key']>().toEqualTypeOf<string>();
    expectTypeOf<Lock['fencingToken']>().toEqualTypeOf<number>();
    expectTypeOf<Lock['state']>().toEqualTypeOf<'held' | 'lost' | 'released'>();
    expectTypeOf<Lock['signal']>().toEqualTypeOf<AbortSignal>();
    expectTypeOf<Lock['release']>().returns.toEqualTypeOf<Promise<boolean>>();
    expectTypeOf<Lock['extend']>().returns.toEqualTypeOf<Promise<void>>();
    expectTypeOf<Lock['assertHeld']>().returns.toEqualTypeOf<void>();
    expectTypeOf<Lock['tokenFor']>().parameters.toEqualTypeOf<[key: string]>();
    expectTypeOf<Lock>().toExtend<AsyncDisposable>();
  });
});

describe('errors', () => {
  test('have codes that a program can branch on', () => {
    const name = (error: LockError): string => error.code;
    expectTypeOf(name).parameter(0).toExtend<Error>();
    expectTypeOf<LockNotAcquiredError['code']>().toEqualTypeOf<'LOCK_NOT_ACQUIRED'>();
    expectTypeOf<LockLostError['code']>().toEqualTypeOf<'LOCK_LOST'>();
    expectTypeOf<LockReleasedError['code']>().toEqualTypeOf<'LOCK_RELEASED'>();
    expectTypeOf<LockAbortedError['code']>().toEqualTypeOf<'LOCK_ABORTED'>();
    expectTypeOf<LockStoreError['code']>().toEqualTypeOf<'LOCK_STORE_UNAVAILABLE'>();
    expectTypeOf<LockArgumentError['code']>().toEqualTypeOf<'LOCK_INVALID_ARGUMENT'>();
    expectTypeOf<LockReentryError['code']>().toEqualTypeOf<'LOCK_REENTRY'>();
    expectTypeOf<LockMissingError['code']>().toEqualTypeOf<'LOCK_MISSING'>();
    expectTypeOf<LockerClosedError['code']>().toEqualTypeOf<'LOCKER_CLOSED'>();
    expectTypeOf<LockLostError['reason']>().toEqualTypeOf<
      'expired' | 'stolen' | 'evicted' | 'superseded' | 'forced' | 'max-hold' | 'closed'
    >();
    expectTypeOf<LockNotAcquiredError['statusCode']>().toEqualTypeOf<423>();
    expectTypeOf<LockStoreError['statusCode']>().toEqualTypeOf<503>();
    expectTypeOf<LockError['key']>().toEqualTypeOf<string | undefined>();
  });
});

describe('the default locker', () => {
  test('has the functions of a locker', () => {
    expectTypeOf(lock).toEqualTypeOf<Locker['lock']>();
    expectTypeOf(tryLock).toEqualTypeOf<Locker['tryLock']>();
    expectTypeOf(withLock).toExtend<Locker['withLock']>();
    expectTypeOf(tryWithLock).toExtend<Locker['tryWithLock']>();
    expectTypeOf(setDefaultLocker)
      .parameter(0)
      .toEqualTypeOf<Locker | (() => Locker) | undefined>();
    expectTypeOf(currentLock).toEqualTypeOf<(key?: string) => Lock | undefined>();
  });
});

test('what users and adapters are promised is exported', ({ expect }) => {
  const names = [
    'createLocker',
    'currentLock',
    'lock',
    'LockAbortedError',
    'LockArgumentError',
    'LockerClosedError',
    'LockError',
    'LockLostError',
    'LockMissingError',
    'LockNotAcquiredError',
    'LockReentryError',
    'LockReleasedError',
    'LockStoreError',
    'memoryStore',
    'reportBypass',
    'runWithLock',
    'setDefaultLocker',
    'tryLock',
    'tryWithLock',
    'withLock',
  ];
  expect(Object.keys(core)).toEqual(expect.arrayContaining(names));
});
