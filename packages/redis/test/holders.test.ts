import { describe, expect } from 'vitest';
import { test, until, waiting } from './site.ts';

const LONG = { ttl: 60_000 };

describe.concurrent('what ends a lock early', () => {
  test('tells of a forced release by message', async ({ site }) => {
    const lock = await site.locker(LONG).lock('key');
    const told: unknown[] = [];
    lock.signal.addEventListener('abort', () => told.push(lock.signal.reason));
    expect(await site.locker().forceRelease('key')).toBe(true);
    // The next renewal is 20 s away.
    await until('its holder is told', () => lock.state === 'lost', 10_000);
    expect(told).toEqual([expect.objectContaining({ reason: 'forced' })]);
    expect(await lock.release()).toBe(false);
  });

  test('tells of a take-over by message', async ({ site }) => {
    const [before, after] = [site.locker(LONG), site.locker(LONG)];
    const lock = await before.lock('key', { owner: 'job-7' });
    const next = await after.lock('key', { owner: 'job-7' });
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    await until('the older is told', () => lock.state === 'lost', 10_000);
    expect(lock.signal.reason).toMatchObject({ reason: 'superseded' });
    expect(next.state).toBe('held');
  });

  test('tells of a vanished lock after a reconnection', async ({ site }) => {
    const lock = await site.locker(LONG).lock('key');
    await site.admin.del('{holdfast:key}');
    site.proxy.cutAll();
    await until('its holder is told', () => lock.state === 'lost', 10_000);
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
  });

  test('tells of the loss after a restart, and serves those who wait', async ({ site }) => {
    const lock = await site.locker(LONG).lock('key');
    const other = site.locker(LONG);
    const { taken } = await waiting(other, () => other.lock('key'));
    await site.restart();
    const next = await taken;
    await until('its holder is told', () => lock.state === 'lost', 10_000);
    expect(lock.signal.reason).toMatchObject({ reason: expect.stringMatching(/evicted|stolen/) });
    expect(next.state).toBe('held');
  });
});

describe.concurrent('a lock that is to be held for a while', () => {
  test('releases a lock with holdAtLeast at once, and frees it only later', async ({ site }) => {
    const locker = site.locker();
    const lock = await locker.lock('key', { holdAtLeast: 1_000 });
    expect(await lock.release()).toBe(true);
    const startedAt = performance.now();
    expect(await locker.tryLock('key')).toBeNull();
    const next = await site.locker().lock('key', { wait: 30_000 });
    expect(next.state).toBe('held');
    expect(performance.now() - startedAt).toBeGreaterThan(700);
  });

  test('keeps a lock with holdAtLeast busy after its process is gone', async ({ site }) => {
    const client = site.client();
    const locker = site.locker({}, client);
    const lock = await locker.lock('key', { holdAtLeast: 1_000 });
    await lock.release();
    client.disconnect();
    const other = site.locker();
    expect(await other.tryLock('key')).toBeNull();
    expect((await other.lock('key', { wait: 30_000 })).state).toBe('held');
  });
});

describe.concurrent('an operator sees', () => {
  test('shows who holds, for how much longer, and how many wait', async ({ site }) => {
    const holder = site.locker({ label: 'web-3 "blue":4711 ü' });
    const lock = await holder.lock('key', { owner: 'job 7\n' });
    const others = [site.locker(), site.locker(), site.locker()];
    for (const locker of others) await waiting(locker, () => locker.lock('key'));
    const operator = site.locker();
    const info = await operator.inspect('key');
    expect(info).toMatchObject({
      key: 'key',
      owner: 'job 7\n',
      label: 'web-3 "blue":4711 ü',
      fencingToken: lock.fencingToken,
      waiters: 3,
    });
    expect(info?.remaining).toBeGreaterThan(0);
    expect(info?.remaining).toBeLessThanOrEqual(10_000);
    expect(await operator.inspect('free')).toBeNull();
    await Promise.all(others.map((locker) => locker.close()));
    // Who has left is not counted.
    await until('nobody waits', async () => (await operator.inspect('key'))?.waiters === 0);
  });
});
