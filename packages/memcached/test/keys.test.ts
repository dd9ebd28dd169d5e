import { LockStoreError } from '@holdfast/core';
import { expect } from 'vitest';
import { test } from './kit/site.ts';

test('keys may be any string, and do not collide', async ({ site }) => {
  const long = 'k'.repeat(10_000);
  const keys = ['a', 'A', 'a b', 'a\r\nb', '\0', '"', "'", '{a}', 'ä', '😀', '\ud800', '\udc00'];
  keys.push('%20', '~', long, `${long}2`, 'ü'.repeat(5_000), ' ', 'set x 0 0 1\r\ny');
  const [locker, other] = [site.locker(), site.locker()];
  const locks = await Promise.all(keys.map((key) => locker.tryLock(key)));
  expect(locks.map((lock) => lock?.key)).toEqual(keys);
  for (const key of keys) expect(await other.tryLock(key)).toBeNull();
  for (const lock of locks) expect(await lock?.release()).toBe(true);
  for (const key of keys) expect(await other.tryLock(key)).not.toBeNull();
});

test('namespaces keep keys apart', async ({ site }) => {
  const [a, b] = [site.locker({ namespace: 'a' }), site.locker({ namespace: 'a:b' })];
  expect(await a.tryLock('b:c')).not.toBeNull();
  expect(await b.tryLock('c')).not.toBeNull();
});

test('a list of keys is taken all or none', async ({ site }) => {
  const [locker, other] = [site.locker(), site.locker()];
  const lock = await locker.lock(['b', 'a', 'c']);
  expect(await other.tryLock(['d', 'c'])).toBeNull();
  expect(await other.tryLock('d')).not.toBeNull();
  expect(lock.tokenFor('a')).not.toBe(lock.tokenFor('b'));
  expect(await lock.release()).toBe(true);
  expect(await other.tryLock(['a', 'b', 'c'])).not.toBeNull();
});

test('a key that holds other data is an error at once, and the data stays', async ({ site }) => {
  const locker = site.locker();
  const others = ['hello', '{"id":7}', 'null', '[]', '{}', '"text"', '{"v":1,"id":"x"}'];
  const later = '{"v":2,"id":"x","label":"y"}';
  for (const data of [...others, later]) {
    await site.ask(`set holdfast:key 0 60 ${data.length}\r\n${data}`);
    for (const wait of [0, Infinity]) {
      const expected = { code: 'LOCK_STORE_UNAVAILABLE', permanent: true, key: 'key' };
      await expect(locker.lock('key', { wait })).rejects.toMatchObject(expected);
    }
    await expect(locker.inspect('key')).rejects.toBeInstanceOf(LockStoreError);
    await expect(locker.forceRelease('key')).rejects.toBeInstanceOf(LockStoreError);
    expect(await site.value('holdfast:key')).toBe(data);
  }
});

test('an owner that is too large is an error at once', async ({ site }) => {
  const locker = site.locker();
  const tooLarge = locker.lock('key', { owner: 'o'.repeat(2_000_000) });
  await expect(tooLarge).rejects.toMatchObject({ code: 'LOCK_INVALID_ARGUMENT' });
  await expect(locker.list()).rejects.toMatchObject({ code: 'LOCK_INVALID_ARGUMENT' });
  await locker.withLock('key', () => {});
});

test('an empty item is a released lock', async ({ site }) => {
  await site.ask('set holdfast:key 0 60 0\r\n');
  const [locker, other] = [site.locker(), site.locker()];
  expect(await locker.inspect('key')).toBeNull();
  expect(await locker.forceRelease('key')).toBe(false);
  const attempts = await Promise.all([locker.tryLock('key'), other.tryLock('key')]);
  const taken = attempts.filter((lock) => lock !== null);
  expect(taken).toHaveLength(1);
  expect(await taken[0]?.release()).toBe(true);
});
