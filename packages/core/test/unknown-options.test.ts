import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { createLocker, LockArgumentError, memoryStore, systemClock } from '../src/index.ts';
import { bench, hear, rejection } from './kit.ts';

const refused = (options: object): string => {
  try {
    createLocker(options);
  } catch (error) {
    expect(error).toBeInstanceOf(LockArgumentError);
    return (error as Error).message;
  }
  throw new Error('It was not refused.');
};

describe('an option that does not exist', () => {
  test.each([
    ['tll', 'ttl'],
    ['TTL', 'ttl'],
    ['timeToLive', undefined],
    ['wiat', 'wait'],
    ['names', 'name'],
    ['namspace', 'namespace'],
    ['maxhold', 'maxHold'],
    ['maxWaiter', 'maxWaiters'],
    ['storeTimeOut', 'storeTimeout'],
    ['handOff', 'handoff'],
    ['x', undefined],
    ['__proto', undefined],
  ])('throws from createLocker with a guess: %s', (name, meant) => {
    const hint = meant === undefined ? '' : ` Did you mean \`${meant}\`?`;
    expect(refused({ [name]: 5_000 })).toBe(`There is no option \`${name}\`.${hint}`);
  });

  test('rejects every call that takes options before any I/O', async () => {
    const { locker, requests } = bench();
    const one = locker();
    const options = { tll: 5_000 } as never;
    for (const call of [
      () => one.lock('k', options),
      () => one.lock(['a', 'k'], options),
      () => one.tryLock('k', options),
      () => one.withLock('k', options, () => {}),
      () => one.tryWithLock('k', options, () => {}),
    ]) {
      expect(await rejection(call())).toMatchObject({
        code: 'LOCK_INVALID_ARGUMENT',
        message: 'There is no option `tll`. Did you mean `ttl`?',
      });
    }
    expect(await rejection(one.list({ limt: 1 } as never))).toMatchObject({
      message: expect.stringContaining('`limit`'),
    });
    expect(requests).toEqual([]);
  });

  test('throws from memoryStore', () => {
    expect(() => memoryStore({ clok: systemClock } as never)).toThrow('Did you mean `clock`?');
  });

  test('throws for an unknown option in `handoff`', () => {
    expect(refused({ handoff: { tenur: 1 } })).toContain('`tenure`');
  });

  test('warns from close, which nothing may keep from closing', async () => {
    const { locker } = bench();
    const one = locker();
    const warnings = hear(one, 'warning');
    await one.close({ drian: 5_000 } as never);
    expect(warnings).toMatchObject([
      {
        code: 'HOLDFAST_UNKNOWN_OPTION',
        message: 'There is no option `drian`. Did you mean `drain`?',
      },
    ]);
    expect(await rejection(one.lock('k'))).toMatchObject({ code: 'LOCKER_CLOSED' });
  });

  test('counts as absent when it is undefined', async () => {
    const options = { tll: undefined } as never;
    await createLocker(options).withLock('k', options, () => {});
  });
});

test('options that are the same again count anew when they change', async () => {
  const { locker } = bench();
  const one = locker();
  const options: { ttl?: number | undefined; label?: string; owner?: string } = { ttl: 1_000 };
  const remaining = async (): Promise<number> => {
    const lock = await one.lock('k', options);
    const left = (await one.inspect('k'))?.remaining ?? 0;
    await lock.release();
    return left;
  };
  expect(await remaining()).toBe(1_000);
  expect(await remaining()).toBe(1_000);
  options.ttl = 2_000;
  expect(await remaining()).toBe(2_000);
  delete options.ttl;
  expect(await remaining()).toBe(10_000);
  options.label = 'a';
  expect((await one.lock('a', options)).label).toBe('a');
  options.label = 'b';
  expect((await one.lock('b', options)).label).toBe('b');
});

test.each([
  [
    'of a class',
    new (class Short {
      get ttl(): number {
        return 1_000;
      }
    })(),
  ],
  ['inherited', Object.create({ ttl: 1_000 }) as object],
  ['behind a proxy', new Proxy({}, { get: (_, name) => (name === 'ttl' ? 1_000 : undefined) })],
])('options that are %s count for their own call only', async (_, options) => {
  const { locker } = bench();
  const one = locker();
  for (let round = 0; round < 2; round++) {
    expect((await one.lock(`a${round}`, options)).remaining).toBe(900);
    expect((await one.lock(`b${round}`, {})).remaining).toBe(9_000);
  }
});

test('an option that differs each time it is read is read once', async () => {
  const { locker } = bench();
  const one = locker();
  let reads = 0;
  const growing = {
    get ttl(): number {
      reads += 1;
      return reads * 1_000;
    },
  };
  const first = await one.lock('a', growing);
  expect(first.remaining).toBe(900);
  // Not the settings that an earlier value came to.
  expect((await one.lock('b', { ttl: 2_000 })).remaining).toBe(1_800);
});

describe('a locker', () => {
  test('prints its name, its store, and how much is held and waited for', async () => {
    const { locker } = bench();
    const one = locker({ name: 'orders' });
    const shown = (): string => inspect(one, { breakLength: Infinity });
    expect(shown()).toBe(`Locker { name: 'orders', store: 'memory', held: 0, waiting: 0 }`);
    const lock = await one.lock('secret');
    await one.lock(['a', 'b']);
    const gone = new AbortController();
    const waiting = rejection(one.lock('secret', { signal: gone.signal }));
    expect(shown()).toBe(`Locker { name: 'orders', store: 'memory', held: 3, waiting: 1 }`);
    gone.abort();
    await waiting;
    await lock.release();
    expect(shown()).toContain('held: 2, waiting: 0');
    await one.close();
    expect(shown()).toContain('held: 0');
  });
});

test('locks of every kind print without their keys, whatever has become of them', async () => {
  const { locker } = bench();
  const one = locker();
  await one.withLock('secret', async (held) => {
    expect(inspect(held)).toMatch(/^Lock \{/);
    const joined = await one.lock('secret', { reentry: 'join' });
    expect(inspect(joined)).toMatch(/^Lock \{[^]*'held'/);
    await locker().forceRelease('secret');
    expect(inspect(joined)).toContain("'lost'");
    for (const lock of [held, joined]) expect(inspect(lock, { depth: 9 })).not.toContain('secret');
  });
});
