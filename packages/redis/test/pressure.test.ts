import { LockStoreError, type LockEvents } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { fails, test, until, waiting, type Site } from './site.ts';

/** From now on nothing more fits in. */
const fill = (site: Site): unknown => site.admin.config('SET', 'maxmemory', '1');
const empty = (site: Site): unknown => site.admin.config('SET', 'maxmemory', '0');

describe.concurrent('a server at maxmemory that evicts nothing', () => {
  test('still renews, extends and releases', async ({ site }) => {
    const locker = site.locker({ ttl: 1_200 });
    const lock = await locker.lock('key');
    let renewed = 0;
    locker.on('renewed', () => (renewed += 1));
    await fill(site);
    await until('it is renewed for longer than its lease', () => renewed > 5);
    await lock.extend();
    expect(lock.state).toBe('held');
    expect(await lock.release()).toBe(true);
    expect(await locker.inspect('key')).toBeNull();
  });

  test('still ends a lock later, and frees it by force', async ({ site }) => {
    const locker = site.locker();
    const lock = await locker.lock('key', { holdAtLeast: 60_000 });
    const forced = await locker.lock('forced');
    await fill(site);
    await lock.release();
    expect(await site.admin.exists('{holdfast:key}')).toBe(1);
    expect(await locker.forceRelease('forced')).toBe(true);
    await until('its holder is told', () => forced.state === 'lost');
    expect(forced.signal.reason).toMatchObject({ reason: 'forced' });
  });

  test.for([
    ['locks', {}],
    ['readers', { shared: true }],
    ['permits', { limit: 2 }],
  ] as const)('refuses new %s, as an error', async ([, options], { site }) => {
    const locker = site.locker();
    await locker.withLock('warm-up', options, () => {});
    await fill(site);
    const { error } = await fails(locker.tryLock('key', options));
    expect(error).toBeInstanceOf(LockStoreError);
    expect(String((error as LockStoreError).cause)).toContain('OOM');
    expect(await site.admin.exists('{holdfast:key}')).toBe(0);
  });

  test('serves those who wait as soon as there is room', async ({ site }) => {
    const lock = await site.locker().lock('key');
    const other = site.locker();
    const { taken } = await waiting(other, () => other.lock('key'));
    await fill(site);
    expect(await lock.release()).toBe(true);
    await empty(site);
    expect((await taken).state).toBe('held');
  });
});

describe.concurrent('an eviction policy', () => {
  const warnings = async (site: Site, policy: string): Promise<LockEvents['warning'][]> => {
    await site.admin.config('SET', 'maxmemory-policy', policy);
    const told: LockEvents['warning'][] = [];
    const locker = site.locker();
    locker.on('warning', (warning) => told.push(warning));
    for (let round = 0; round < 5; round++) await locker.withLock('key', () => {});
    await site.admin.ping();
    await locker.withLock('key', () => {});
    return told;
  };

  test('warns once of a policy that may drop locks', async ({ site }) => {
    const told = await warnings(site, 'volatile-lru');
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ code: 'HOLDFAST_REDIS_EVICTION' });
    expect(told[0]?.message).toContain("'volatile-lru'");
  });

  test('does not warn of a policy that drops nothing', async ({ site }) => {
    expect(await warnings(site, 'noeviction')).toEqual([]);
  });

  test('loses an evicted lock at the next renewal', async ({ site }) => {
    const locker = site.locker({ ttl: 1_500 });
    const lock = await locker.lock('key');
    await site.admin.del('{holdfast:key}');
    await until('it is lost', () => lock.state === 'lost');
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
  });
});
