import { describe, expect, test } from 'vitest';
import {
  createLocker,
  LockArgumentError,
  LockNotAcquiredError,
  memoryStore,
  setDefaultLocker,
  type Key,
  type Locker,
  type LockerOptions,
  type LockOptions,
} from '../src/index.ts';
import { bench, rejection, watch } from './kit.ts';

const DAY = 24 * 60 * 60 * 1_000;
const nothing = (): void => {};

/** The four ways to ask for a lock, as an untyped caller may use them. */
const ways: Record<string, (locker: Locker, key: Key, options?: LockOptions) => Promise<unknown>> =
  {
    lock: (locker, key, options) => locker.lock(key, options),
    tryLock: (locker, key, options) => locker.tryLock(key, options),
    withLock: (locker, key, options) => locker.withLock(key, options, nothing),
    tryWithLock: (locker, key, options) => locker.tryWithLock(key, options, nothing),
  };

const badKeys: [string, unknown][] = [
  ['empty', ''],
  ['a number', 42],
  ['null', null],
  ['undefined', undefined],
  ['an object', {}],
  ['a String object', new String('a')],
  ['an empty list', []],
  ['a list with an empty key', ['a', '']],
  ['a list with a number', ['a', 1]],
  ['a list with null', [null]],
  ['a list with a hole', Array.from({ length: 2 })],
  ['a list of lists', [['a']]],
];

const badOptions: [string, unknown][] = [
  ...[0, -1, 9, DAY + 1, NaN, Infinity, -Infinity, '1000', null].map((ttl): [string, unknown] => [
    `ttl ${String(ttl)}`,
    { ttl },
  ]),
  ...[-1, -0.5, NaN, -Infinity, '5', null].map((wait): [string, unknown] => [
    `wait ${String(wait)}`,
    { wait },
  ]),
  ...[-1, NaN, '5', null].map((maxHold): [string, unknown] => [
    `maxHold ${String(maxHold)}`,
    { maxHold },
  ]),
  ...[-1, NaN, '5', null].map((holdAtLeast): [string, unknown] => [
    `holdAtLeast ${String(holdAtLeast)}`,
    { holdAtLeast },
  ]),
  ...['', 7, null].map((owner): [string, unknown] => [`owner ${String(owner)}`, { owner }]),
  ...['yes', 0, null].map((renew): [string, unknown] => [`renew ${String(renew)}`, { renew }]),
  ...['no', true, null].map((reentry): [string, unknown] => [
    `reentry ${String(reentry)}`,
    { reentry },
  ]),
  ['signal null', { signal: null }],
  ['signal that is none', { signal: {} }],
  ['signal that cannot be left', { signal: { aborted: false, addEventListener: nothing } }],
  ['signal that is another target of events', { signal: new EventTarget() }],
  ...['label', 'throwIfLost', 'shared', 'limit', 'weight'].flatMap((name) =>
    [null, 5n, Symbol('s')].map((value): [string, unknown] => [
      `${name} ${String(value)}`,
      { [name]: value },
    ]),
  ),
  ['onLost null', { onLost: null }],
  ['onLost that is no function', { onLost: 'x' }],
  ['null for options', null],
  ['a string for options', 'soon'],
];

describe('a bad argument rejects before any I/O', () => {
  for (const [name, way] of Object.entries(ways)) {
    test.each(badKeys)(`${name}: a key that is %s`, async (_, key) => {
      const { locker, requests } = bench();
      const promise = way(locker(), key as Key);
      expect(await rejection(promise)).toBeInstanceOf(LockArgumentError);
      expect(requests).toEqual([]);
    });

    // One attempt has no `wait`.
    const options = badOptions.filter(
      ([what]) => !(name.startsWith('try') && what.startsWith('wait')),
    );
    test.each(options)(`${name}: %s`, async (_, given) => {
      const { locker, requests } = bench();
      const promise = way(locker(), 'k', given as LockOptions);
      expect(await rejection(promise)).toBeInstanceOf(LockArgumentError);
      expect(requests).toEqual([]);
    });
  }

  test.each(badKeys)('inspect and forceRelease: a key that is %s', async (_, key) => {
    const { locker, requests } = bench();
    expect(await rejection(locker().inspect(key as string))).toBeInstanceOf(LockArgumentError);
    expect(await rejection(locker().forceRelease(key as string))).toBeInstanceOf(LockArgumentError);
    expect(requests).toEqual([]);
  });

  test.each([undefined, null, 'work', {}])('work that is no function: %s', async (fn) => {
    const { locker, requests } = bench();
    for (const call of [
      () => locker().withLock('k', fn as never),
      () => locker().withLock('k', {}, fn as never),
      () => locker().tryWithLock('k', fn as never),
      () => locker().tryWithLock('k', {}, fn as never),
    ]) {
      expect(await rejection(call())).toBeInstanceOf(LockArgumentError);
    }
    expect(requests).toEqual([]);
  });

  test.each([0, -1, 9, DAY + 1, NaN, Infinity, '1000', null])('extend by %s', async (ttl) => {
    const { locker, sent } = bench();
    const lock = await locker().lock('k');
    expect(await rejection(lock.extend(ttl as number))).toBeInstanceOf(LockArgumentError);
    expect(sent('renew')).toBe(0);
    expect(lock.state).toBe('held');
  });

  test('tokenFor a key that the lock does not cover', async () => {
    const { locker } = bench();
    const lock = await locker().lock(['a', 'b']);
    expect(() => lock.tokenFor('c')).toThrow(LockArgumentError);
    expect(() => lock.tokenFor('toString')).toThrow(LockArgumentError);
  });
});

const badLockerOptions: [string, unknown][] = [
  ...badOptions.filter(([what]) => /^(ttl|wait|maxHold|null|a string)/.test(what)),
  ...[-1, NaN, '5', null, 3_334, Infinity].map((safetyMargin): [string, unknown] => [
    `safetyMargin ${String(safetyMargin)}`,
    { safetyMargin },
  ]),
  ...[-1, 0, NaN, '5', null].map((storeTimeout): [string, unknown] => [
    `storeTimeout ${String(storeTimeout)}`,
    { storeTimeout },
  ]),
  ...[null, true, 5, { max: -1 }, { max: NaN }, { max: null }, { tenure: -1 }, { tenure: NaN }].map(
    (handoff): [string, unknown] => [`handoff ${JSON.stringify(handoff)}`, { handoff }],
  ),
  ['tenure null', { handoff: { tenure: null } }],
  ...['throwIfLost', 'maxKeys', 'maxWaiters', 'maxWaiting'].flatMap((name) =>
    [null, 'x', {}].map((value): [string, unknown] => [
      `${name} ${JSON.stringify(value)}`,
      { [name]: value },
    ]),
  ),
  ['name null', { name: null }],
  ['name that is no string', { name: 1 }],
  ['label null', { label: null }],
  ['namespace null', { namespace: null }],
  ['namespace that is no string', { namespace: 1 }],
  ['store null', { store: null }],
  ['store that is none', { store: {} }],
  ['clock null', { clock: null }],
  ['clock that is none', { clock: {} }],
];

describe('createLocker throws for', () => {
  test.each(badLockerOptions)('%s', (_, options) => {
    expect(() => createLocker(options as LockerOptions)).toThrow(LockArgumentError);
  });
});

describe('also refused', () => {
  test('a margin that is above a third of the ttl of one lock', async () => {
    const { locker, requests } = bench();
    const strict = locker({ safetyMargin: 3_000 });
    expect(await rejection(strict.lock('k', { ttl: 8_999 }))).toBeInstanceOf(LockArgumentError);
    expect(requests).toEqual([]);
    await strict.lock('k', { ttl: 9_000 });
  });

  test('a clock of null for the memory store', () => {
    expect(() => memoryStore({ clock: null as never })).toThrow(LockArgumentError);
    expect(() => memoryStore(null as never)).toThrow(LockArgumentError);
  });

  test('a default locker that is neither a locker nor a function', () => {
    for (const locker of [null, 5, 'x', {}]) {
      expect(() => setDefaultLocker(locker as never)).toThrow(LockArgumentError);
    }
  });

  test('an event that does not exist, and a listener that is no function', () => {
    const { locker } = bench();
    expect(() => locker().on('losst' as never, nothing)).toThrow(LockArgumentError);
    expect(() => locker().on('lost', null as never)).toThrow(LockArgumentError);
  });

  test('nothing when closing, which never rejects', async () => {
    for (const options of [null, 5, { drain: -1 }, { drain: NaN }, { drain: null }]) {
      const closed = bench().locker();
      await closed.close(options as never);
      await expect(closed.lock('k')).rejects.toMatchObject({ code: 'LOCKER_CLOSED' });
    }
  });
});

describe('what is absent, zero or a fraction', () => {
  test('undefined means absent', async () => {
    const { clock, memory } = bench();
    const locker = createLocker({
      store: memory,
      clock,
      namespace: undefined,
      name: undefined,
      label: undefined,
      ttl: undefined,
      wait: undefined,
      maxHold: undefined,
      safetyMargin: undefined,
      storeTimeout: undefined,
      handoff: undefined,
    });
    const lock = await locker.lock('k', {
      ttl: undefined,
      wait: undefined,
      maxHold: undefined,
      signal: undefined,
      renew: undefined,
      owner: undefined,
      holdAtLeast: undefined,
      onLost: undefined,
      reentry: undefined,
    });
    expect(lock.remaining).toBe(9_000);
    await lock.extend(undefined);
    await locker.withLock('j', undefined, nothing);
    createLocker({ handoff: { max: undefined, tenure: undefined } });
    createLocker(undefined);
    memoryStore(undefined);
    memoryStore({ clock: undefined });
  });

  test('0 is not taken for the default', async () => {
    const { locker, clock } = bench();
    const lock = await locker({ safetyMargin: 0 }).lock('k', { ttl: 1_000 });
    expect(lock.remaining).toBe(1_000);
    const single = watch(locker({ wait: 0 }).lock('k'), clock);
    const given = watch(locker().lock('k', { wait: 0 }), clock);
    await clock.advance(0);
    expect(single.reason).toBeInstanceOf(LockNotAcquiredError);
    expect(given.reason).toBeInstanceOf(LockNotAcquiredError);
  });

  test('fractions are rounded up', async () => {
    const { locker, clock } = bench();
    const lock = await locker().lock('k', { ttl: 399.2 });
    expect(lock.remaining).toBe(350);
    const waiter = watch(locker().lock('k', { wait: 20.1 }), clock);
    await clock.advance(20);
    expect(waiter.state).toBe('pending');
    await clock.advance(1);
    expect(waiter.reason).toBeInstanceOf(LockNotAcquiredError);
  });

  test('a third of the ttl, and the bounds of the ttl, are allowed', async () => {
    const { locker } = bench();
    for (const ttl of [10, 100, 1_000, 10_000, DAY]) {
      const third = await locker({ ttl, safetyMargin: ttl / 3 }).lock(`k${ttl}`);
      expect(third.remaining).toBeLessThanOrEqual(ttl);
      expect(third.remaining).toBeGreaterThan(ttl / 2);
    }
  });

  test('one attempt has no wait, whatever the locker waits otherwise', async () => {
    const { locker } = bench();
    await locker().lock('k');
    expect(await locker({ wait: 5_000 }).tryLock('k')).toBeNull();
    expect(await locker({ wait: 5_000 }).tryLock('k', { ttl: 1_000, wait: undefined })).toBeNull();
  });
});
