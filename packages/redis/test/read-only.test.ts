import type { LockEvents } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { fails, test, until, type Site } from './site.ts';

/** The server turns replica of one that is not there, and keeps its connections, as after a failover. */
async function demote(site: Site): Promise<void> {
  await site.admin.call('REPLICAOF', '127.0.0.1', '1');
}

describe.concurrent('a primary that has become a replica and keeps its connections', () => {
  test('warns once, and names the option that helps', async ({ site }) => {
    const locker = site.locker();
    await locker.withLock('warm-up', () => {});
    const warnings: LockEvents['warning'][] = [];
    locker.on('warning', (warning) => warnings.push(warning));
    await demote(site);
    const waiting = fails(locker.lock('key', { wait: 5_000 }));
    await until('it is told', () => warnings.length > 0);
    expect(warnings).toEqual([expect.objectContaining({ code: 'HOLDFAST_REDIS_READONLY' })]);
    expect(warnings[0]?.message).toContain('reconnectOnError');
    expect((await waiting).error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE' });
    expect(warnings).toHaveLength(1);
  });

  test('does not warn when the client is told to connect anew', async ({ site }) => {
    const locker = site.locker({}, site.client({ reconnectOnError: () => false }));
    await locker.withLock('warm-up', () => {});
    const warnings: unknown[] = [];
    locker.on('warning', (warning) => warnings.push(warning));
    await demote(site);
    await fails(locker.lock('key', { wait: 2_500 }));
    expect(warnings).toEqual([]);
  });

  test('believes no replica that a lock is gone', async ({ site }) => {
    const locker = site.locker({ ttl: 1_500 });
    const lock = await locker.lock('key');
    await site.admin.del('{holdfast:key}');
    await demote(site);
    const { error } = await fails(lock.extend());
    expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE' });
    expect(lock.state).toBe('held');
    await until('the lease ends', () => lock.state === 'lost');
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
  });
});
