import { LockStoreError } from '@holdfast/core';
import type { Redis } from 'ioredis';
import { describe, expect } from 'vitest';
import { isFree } from './kit.ts';
import { fails, test } from './site.ts';

const LOCK = '{holdfast:key}';

/** Somebody else's data in one of a lock's keys. */
const foreign: Record<string, { key: string; put: (admin: Redis) => unknown }> = {
  'text in the key of the lock': { key: LOCK, put: (admin) => admin.set(LOCK, 'theirs') },
  'a number in the key of the lock': { key: LOCK, put: (admin) => admin.set(LOCK, '42') },
  'a hash in the key of the lock': { key: LOCK, put: (admin) => admin.hset(LOCK, 'a', 'b') },
  'a number that is too large': { key: LOCK, put: (admin) => admin.set(LOCK, '9'.repeat(16)) },
};

describe.concurrent.each(Object.entries(foreign))('%s', (_, { key, put }) => {
  test('rejects at once and leaves the data as it was', async ({ site }) => {
    const { admin } = site;
    const locker = site.locker();
    await put(admin);
    const before = await admin.dumpBuffer(key);
    for (const [phase, attempt] of [
      ['acquire', () => locker.tryLock('key')],
      ['acquire', () => locker.lock('key')],
      ['inspect', () => locker.inspect('key')],
      ['force-release', () => locker.forceRelease('key')],
    ] as const) {
      const { error } = await fails(attempt());
      expect(error).toBeInstanceOf(LockStoreError);
      expect(error).toMatchObject({ permanent: true, phase });
      expect((error as Error).message).toMatch(/cannot read/);
    }
    // Among others it is no lock.
    expect((await locker.list()).locks).toEqual([]);
    expect(await admin.dumpBuffer(key)).toEqual(before);
    expect(await admin.ttl(key)).toBe(-1);
  });

  test('does not harm other locks of the same tick', async ({ site }) => {
    const locker = site.locker();
    await put(site.admin);
    const keys = ['a', 'key', 'b', 'c'];
    const results = await Promise.allSettled([
      locker.lock('first'),
      ...keys.map((one) => locker.lock(one)),
    ]);
    const states = results.map(({ status }) => status);
    expect(states).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  });
});

describe.concurrent('data that comes while the lock is held', () => {
  test('loses the lock, and neither renews nor deletes the data', async ({ site }) => {
    const locker = site.locker();
    const lock = await locker.lock('key');
    await site.admin.set(LOCK, 'theirs');
    expect((await fails(lock.extend())).error).toMatchObject({ reason: 'stolen' });
    expect(await lock.release()).toBe(false);
    expect(await site.admin.get(LOCK)).toBe('theirs');
    expect(await site.admin.ttl(LOCK)).toBe(-1);
  });

  test('frees the lock although other data is in the key of the queue', async ({ site }) => {
    const locker = site.locker();
    const lock = await locker.lock('key');
    await site.admin.set(`${LOCK}:queue`, 'theirs');
    expect(await lock.release()).toBe(true);
    expect(await isFree(site.admin, LOCK)).toBe(true);
  });
});

describe.concurrent.each(['a list', 'text'])('%s in the key of the queue', (kind) => {
  test('rejects those who would wait at once, and leaves the data as it was', async ({ site }) => {
    const { admin } = site;
    const queue = `${LOCK}:queue`;
    await (kind === 'text' ? admin.set(queue, 'theirs') : admin.rpush(queue, 'theirs'));
    const before = await admin.dumpBuffer(queue);
    const lock = await site.locker().lock('key');
    const { error } = await fails(site.locker().lock('key'));
    expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', permanent: true });
    await lock.extend();
    expect(await lock.release()).toBe(true);
    expect(await site.locker().tryLock('key')).not.toBeNull();
    expect(await admin.dumpBuffer(queue)).toEqual(before);
    expect(await admin.ttl(queue)).toBe(-1);
  });
});
