import { LockConflictError, type Lock, type Locker } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { test, until } from './site.ts';

/** On a machine that does much else, a server answers late. */
const PATIENT = { ttl: 60_000, storeTimeout: 20_000 };

describe.concurrent('a lock with a limit', { timeout: 60_000 }, () => {
  test('is shared by processes, first come, first served', async ({ site }) => {
    const [one, other] = [site.locker(PATIENT), site.locker(PATIENT, site.client())];
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside += 1;
      most = Math.max(most, inside);
      // The first of them leave when the limit is reached.
      await until('five are inside', () => most >= 5, 40_000);
      inside -= 1;
    };
    const options = { limit: 5 };
    const all = Array.from({ length: 100 }, (_, index) =>
      (index % 2 === 0 ? one : other).withLock('key', options, work),
    );
    await Promise.all(all);
    expect(most).toBe(5);
    await until('nothing is left', async () => (await one.inspect('key')) === null, 20_000);
  });

  test('is refused to those who say another limit, and free for them afterwards', async ({
    site,
  }) => {
    const one = site.locker();
    const held = [await one.lock('key', { limit: 2 }), await one.lock('key', { limit: 2 })];
    const refused = await site
      .locker()
      .lock('key', { limit: 3 })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(LockConflictError);
    expect(refused).toMatchObject({ limit: 3, currentLimit: 2 });
    await Promise.all(held.map((lock) => lock.release()));
    await site.locker().lock('key', { limit: 3 });
  });

  test('gives the permit of a crashed holder to the next', async ({ site }) => {
    const client = site.client();
    const crashed = site.locker({ ttl: 500 }, client);
    await crashed.lock('key', { limit: 2, renew: false });
    const other = site.locker({ ttl: 60_000 });
    await other.lock('key', { limit: 2 });
    const next = await other.lock('key', { limit: 2, wait: 30_000 });
    expect(next.state).toBe('held');
    expect(next.fencingToken).toBeGreaterThan(0);
  });

  test('tells a holder by message that an operator has ended its permit', async ({ site }) => {
    const one = site.locker(PATIENT);
    const first = await one.lock('key', { limit: 3 });
    const second = await one.lock('key', { limit: 3 });
    expect(await site.locker(PATIENT).forceRelease('key', { owner: first.owner })).toBe(true);
    await until('its holder is told', () => first.state === 'lost', 10_000);
    expect(first.signal.reason).toMatchObject({ reason: 'forced' });
    second.assertHeld();
  });

  test('renews many permits, and releases all', async ({ site }) => {
    const one = site.locker({ ttl: 9_000 });
    const lost: string[] = [];
    one.on('lost', ({ reason }) => lost.push(reason));
    const held: Lock[] = await Promise.all(
      Array.from({ length: 300 }, () => one.lock('key', { limit: 1_000 })),
    );
    const later = performance.now() + 10_000;
    await until('their leases would have ended', () => performance.now() > later, 50_000);
    expect(lost).toEqual([]);
    const info = await one.inspect('key');
    expect(info?.holders?.length).toBe(100);
    expect((await Promise.all(held.map((lock) => lock.release()))).every(Boolean)).toBe(true);
    expect(await one.inspect('key')).toBeNull();
    expect(await site.admin.exists('{holdfast:key}:holders', '{holdfast:key}:leases')).toBe(0);
  });

  test('takes a tenant limit and a total limit with one list', async ({ site }) => {
    const one = site.locker();
    const inside = new Map<string, number>();
    const most = new Map<string, number>();
    const count = (name: string, by: number): void => {
      inside.set(name, (inside.get(name) ?? 0) + by);
      most.set(name, Math.max(most.get(name) ?? 0, inside.get(name) ?? 0));
    };
    const tasks = Array.from({ length: 60 }, (_, index) => {
      const tenant = `tenant:${index % 5}`;
      return one.withLock([tenant, 'total'], { limit: [3, 10] }, async () => {
        for (const name of [tenant, 'total']) count(name, 1);
        await new Promise((resolve) => {
          setTimeout(resolve, 3);
        });
        for (const name of [tenant, 'total']) count(name, -1);
      });
    });
    await Promise.all(tasks);
    expect(most.get('total')).toBeLessThanOrEqual(10);
    for (const [name, value] of most) if (name !== 'total') expect(value).toBeLessThanOrEqual(3);
    expect([...inside.values()].every((value) => value === 0)).toBe(true);
  });
});

describe.concurrent('readers and writers', { timeout: 60_000 }, () => {
  test('never hold together, and nobody is stuck', async ({ site }) => {
    const lockers = [site.locker(PATIENT), site.locker(PATIENT, site.client())];
    let readers = 0;
    let writers = 0;
    let clashes = 0;
    const tasks = Array.from({ length: 120 }, (_, index) => {
      const shared = index % 4 !== 0;
      const locker = lockers[index % 2] as Locker;
      return locker.withLock('key', { shared }, async () => {
        if (shared) readers += 1;
        else writers += 1;
        if (writers > 1 || (writers === 1 && readers > 0)) clashes += 1;
        await new Promise((resolve) => {
          setTimeout(resolve, 2);
        });
        if (shared) readers -= 1;
        else writers -= 1;
      });
    });
    await Promise.all(tasks);
    expect(clashes).toBe(0);
  });

  test('a hundred readers of one process are let in together after a writer', async ({ site }) => {
    const writer = await site.locker(PATIENT).lock('key');
    const one = site.locker(PATIENT);
    const readers = Array.from({ length: 100 }, () => one.lock('key', { shared: true }));
    await until('they wait', async () => (await one.inspect('key'))?.waiters === 100, 40_000);
    await writer.release();
    const held = await Promise.all(readers);
    expect(held.every((lock) => lock.state === 'held')).toBe(true);
    const tokens = held.map((lock) => lock.fencingToken);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
  });
});
