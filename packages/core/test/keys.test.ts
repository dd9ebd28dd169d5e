import { describe, expect, test } from 'vitest';
import {
  createLocker,
  LockError,
  memoryStore,
  storedKey,
  type AcquireRequest,
} from '../src/index.ts';
import { bench, rejection, variant } from './kit.ts';

const LONG = 'k'.repeat(10_240);

/** Each a lock of its own. */
const odd = [
  ' ',
  '  ',
  ' a',
  'a ',
  'a',
  'A',
  '"',
  "'",
  'a"b\'c`d',
  'a\nb',
  'a\r\nb',
  'a\tb',
  '\0',
  'a\0',
  '{a}',
  '{}',
  '}{',
  'a{b}c',
  ':',
  'a:b',
  'a:b:c',
  'a::b',
  '%',
  '%41',
  '%7Ba%7D',
  'a%b',
  'a\\b',
  '*',
  '?',
  '[a]',
  '..',
  '/',
  'a/b',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  'null',
  'undefined',
  '0',
  'é',
  'e\u0301',
  'ﬁ',
  '😀',
  '\u{1f468}\u200d\u{1f469}',
  '\ud800',
  '\ud801',
  '\udc00',
  '\ufffd',
  '\ud800\ud800',
  '\ud800a',
  '\u2028',
  '\ufeff',
  '\ufeffa',
  LONG,
  `${LONG}k`,
  `${LONG.slice(1)}j`,
  `j${LONG.slice(1)}`,
  '😀'.repeat(5_000),
  '\ud83d'.repeat(5_000),
];

describe('keys', () => {
  test('keep apart whatever text they hold', async () => {
    const { locker, free } = bench();
    const one = locker();
    const locks = [];
    for (const key of odd) {
      const lock = await one.tryLock(key);
      expect([key, lock?.state]).toEqual([key, 'held']);
      locks.push(lock!);
    }
    for (const [index, key] of odd.entries()) {
      expect(locks[index]?.key).toBe(key);
      expect(locks[index]?.keys).toEqual([key]);
      expect(await locker().tryLock(key)).toBeNull();
      expect(await one.inspect(key)).toMatchObject({ key, owner: locks[index]?.owner });
    }
    for (const lock of locks) expect(await lock.release()).toBe(true);
    for (const key of odd) expect(await free(key)).toBe(true);
  });

  test('reach the store as short printable text without spaces and braces', async () => {
    // Where a store has no encoding of its own, as the memory store has.
    const { locker, requests } = bench((store) =>
      variant(store, { encodeKey: undefined as never }),
    );
    for (const namespace of ['holdfast', '', 'a{b} c\n', '\ud800', LONG]) {
      for (const key of odd) await locker({ namespace }).tryLock(key);
    }
    for (const { args } of requests) {
      const { key } = args[0] as AcquireRequest;
      expect(key).toMatch(/^[\x21-\x7a|~]{1,200}$/);
    }
    expect(new Set(requests.map(({ args }) => (args[0] as AcquireRequest).key)).size).toBe(
      5 * odd.length,
    );
  });

  test('do not collide across namespaces', async () => {
    const store = memoryStore();
    const names: [string, string][] = [
      ['a', 'b:c'],
      ['a:b', 'c'],
      ['a:b:c', 'd'],
      ['a', 'b:c:d'],
      ['', 'a:b'],
      ['a', ':b'],
      ['a:', 'b'],
      ['a%3A', 'b'],
      ['a', '%3Ab'],
      ['holdfast', 'x'],
      ['holdfast:', 'x'],
      ['{a}', 'b'],
      ['a', '}b{'],
      ['\ud800', '\udc00'],
      ['', '\u{10000}'],
      ['x'.repeat(300), 'y'],
      ['x'.repeat(299), 'xy'],
      ['', `${'x'.repeat(300)}y`],
    ];
    const held = [];
    for (const [namespace, key] of names) {
      held.push(await createLocker({ store, namespace }).tryLock(key));
    }
    expect(held.every((lock) => lock !== null)).toBe(true);
    expect(new Set(names.map(([namespace, key]) => storedKey(namespace, key))).size).toBe(
      names.length,
    );
    for (const lock of held) expect(await lock?.release()).toBe(true);
  });

  test('meet in one namespace over several lockers; the default namespace is holdfast', async () => {
    const { locker } = bench();
    await locker().lock('k');
    expect(await locker({ namespace: 'holdfast' }).tryLock('k')).toBeNull();
    expect(await locker({ namespace: 'other' }).tryLock('k')).not.toBeNull();
  });

  test('appear in the key of every error and in no message', async () => {
    const secret = 'anna@example.org';
    const { locker, clock, faults } = bench();
    const one = locker();
    const lock = await one.lock(secret, { ttl: 1_000, renew: false });
    const errors: unknown[] = [];
    errors.push(await rejection(locker().lock(secret, { wait: 0 })));
    faults.fail({ error: new Error(`ERR on ${secret}`) });
    errors.push(await rejection(locker().tryLock(secret)));
    faults.fail();
    errors.push(await rejection(one.inspect(secret)));
    faults.fail();
    errors.push(await rejection(one.forceRelease(secret)));
    await clock.advance(1_000);
    errors.push(lock.signal.reason);
    await one.withLock(secret, async (outer) => {
      errors.push(await rejection(one.lock(secret)), await rejection(one.lock([secret, 'b'])));
      await outer.release();
      errors.push(outer.signal.reason);
    });
    const queued = rejection(one.lock([secret, 'b'], { owner: 'x' }).then(() => one.lock(secret)));
    await one.close();
    errors.push(await queued, await rejection(one.lock([secret, 'b'])));
    expect(errors).toHaveLength(10);
    for (const error of errors) {
      expect(error).toBeInstanceOf(LockError);
      const { message, key, name, stack } = error as LockError;
      expect(`${name} ${message}`).not.toContain('anna');
      expect(stack).not.toContain('anna');
      expect([message, key]).toEqual([message, secret]);
    }
  });
});
