import type { Redis } from 'ioredis';
import { describe, expect } from 'vitest';
import { test, until, waiting, type Site } from './site.ts';

/** How often the server has run which command. */
async function commands(admin: Redis): Promise<Map<string, number>> {
  const stats = await admin.info('commandstats');
  const found = stats.matchAll(/^cmdstat_([\w|]+):calls=(\d+)/gm);
  return new Map([...found].map(([, name = '', calls]) => [name, Number(calls)]));
}

const OURS = new Set(['info', 'config|resetstat', 'ping']);

async function total(admin: Redis): Promise<number> {
  let sum = 0;
  for (const [name, calls] of await commands(admin)) if (!OURS.has(name)) sum += calls;
  return sum;
}

describe.concurrent('the server works little', () => {
  test('for a lock that is free and its release: six commands', async ({ site }) => {
    const locker = site.locker();
    const lock = await locker.lock('warm-up');
    await lock.release();
    await site.admin.config('RESETSTAT');
    const rounds = 50;
    for (let round = 0; round < rounds; round++) await locker.withLock('warm-up', () => {});
    expect(await total(site.admin)).toBe(6 * rounds);
    await site.admin.config('RESETSTAT');
    // Keys that were never locked before cost no more.
    for (let round = 0; round < rounds; round++) await locker.withLock(`new:${round}`, () => {});
    expect(await total(site.admin)).toBe(6 * rounds);
  });
});

describe.concurrent('a lock that one holds pays nothing for those that several may hold', () => {
  test('has one key, with one value, and no other while somebody waits', async ({ site }) => {
    const { admin } = site;
    const lock = await site.locker({ label: 'host-1' }).lock('key');
    expect(await admin.keys('*')).toEqual(['{holdfast:key}']);
    const value = await admin.get('{holdfast:key}');
    // Until when, the length of the lease, the token, how many tokens, nobody waits, the id, the locker, the label, its own owner.
    expect(value).toMatch(/^holdfast:1 held \d{13} 0*10000 \d{16} \d+ - \S+ \S+ host-1 =$/);
    const other = site.locker();
    const next = other.lock('key');
    await until('it waits', async () => (await other.inspect('key'))?.waiters === 1);
    expect((await admin.keys('*')).toSorted()).toEqual(['{holdfast:key}', '{holdfast:key}:queue']);
    await lock.release();
    await (await next).release();
    expect(await admin.keys('*')).toEqual(['{holdfast:key}']);
  });

  test('is renewed, looked at and freed by the scripts that it had without them', async ({
    site,
  }) => {
    const { admin } = site;
    const locker = site.locker({ ttl: 60_000 });
    const deeds = async (): Promise<void> => {
      const lock = await locker.lock('key');
      await lock.extend(90_000);
      await locker.inspect('key');
      await lock.release();
    };
    await deeds();
    await admin.config('RESETSTAT');
    await deeds();
    const ran = await commands(admin);
    expect(ran.get('evalsha')).toBe(4);
    expect(ran.get('eval')).toBeUndefined();
    // Nobody looks for holders, nor for their leases.
    for (const name of ['hget', 'hset', 'hexists', 'hdel', 'zrevrange']) {
      expect([name, ran.get(name)]).toEqual([name, undefined]);
    }
  });
});

/** Registrations of clients that have crashed, as their requests leave them. */
async function deadWaiters(admin: Redis, count: number): Promise<void> {
  const queue = '{holdfast:key}:queue';
  const now = Date.now();
  const entries: (string | number)[] = [];
  for (let index = 0; index < count; index++) {
    const client = `pdead/${index}`;
    const place = (now - 60_000) * 1_000 + index;
    entries.push(place, client, place, `label ${client} crashed`, now - 1_000, `until ${client}`);
  }
  for (let from = 0; from < entries.length; from += 30_000) {
    await admin.zadd(queue, ...(entries.slice(from, from + 30_000) as [number, string]));
  }
  await admin.pexpire(queue, 60_000);
  const lock = '{holdfast:key}';
  const held = await admin.get(lock);
  if (held !== null)
    await admin.set(
      lock,
      held.replace(/^(holdfast:1 held \d+ \d+ \d+ \d+) - /, '$1 queue '),
      'KEEPTTL',
    );
}

async function crowded(site: Site, count: number): Promise<void> {
  await deadWaiters(site.admin, count);
  await site.admin.config('RESETSTAT');
}

describe('50,000 registrations of clients that have crashed', () => {
  test('cost who comes next a bounded number of commands, and are gone', async ({ site }) => {
    const lock = await site.locker({ ttl: 60_000 }).lock('key');
    await crowded(site, 50_000);
    const other = site.locker({ ttl: 60_000 });
    const { taken } = await waiting(other, () => other.lock('key'));
    expect(await total(site.admin)).toBeLessThan(200);
    // The one that is alive.
    expect(await site.admin.zcard('{holdfast:key}:queue')).toBe(3);
    await lock.release();
    expect((await taken).state).toBe('held');
  });

  test('keep the order of live waiters that stand between dead ones', async ({ site }) => {
    const lock = await site.locker({ ttl: 60_000 }).lock('key');
    const order: string[] = [];
    const served: Promise<unknown>[] = [];
    for (const name of ['first', 'second', 'third']) {
      const locker = site.locker({ ttl: 60_000 });
      const { taken } = await waiting(locker, () => locker.lock('key'));
      served.push(
        taken.then(async (held) => {
          order.push(name);
          await held.release();
        }),
      );
      await deadWaiters(site.admin, 17_000);
    }
    await lock.release();
    await Promise.all(served);
    expect(order).toEqual(['first', 'second', 'third']);
  });

  test('go too when a release, a refresh or one who leaves meets them first', async ({ site }) => {
    const queue = '{holdfast:key}:queue';
    const holder = site.locker({ ttl: 60_000 });
    const lock = await holder.lock('key');
    await crowded(site, 50_000);
    expect(await lock.release()).toBe(true);
    expect(await total(site.admin)).toBeLessThan(60);
    expect(await site.admin.zcard(queue)).toBe(0);

    const again = await holder.lock('key');
    const other = site.locker();
    const controller = new AbortController();
    await waiting(other, () => other.lock('key', { signal: controller.signal }));
    await deadWaiters(site.admin, 50_000);
    // The next refresh, at most half a second later.
    await until('the dead are gone', async () => (await site.admin.zcard(queue)) <= 3);
    await deadWaiters(site.admin, 50_000);
    controller.abort();
    await until('the living has left', async () => !(await isRegistered(site.admin, queue)));
    await again.release();
    await until('the queue is gone', async () => (await site.admin.exists(queue)) === 0);
  });
});

const isRegistered = async (admin: Redis, queue: string): Promise<boolean> =>
  (await admin.zcount(queue, Date.now(), '1e14')) > 0;

describe.concurrent('take-overs by one owner', () => {
  test('leave a bounded memory of who was superseded', async ({ site }) => {
    const locker = site.locker({ ttl: 600_000 });
    for (let round = 0; round < 200; round++) await locker.lock('key', { owner: 'job' });
    expect(await site.admin.zcard('{holdfast:key}:queue')).toBeLessThanOrEqual(64);
  });
});

describe.concurrent('a key that was locked', () => {
  test('costs the server as few bytes as the README says', async ({ site }) => {
    const { admin } = site;
    /** With the entries of the tables of keys and of expiries, which the server leaves out. */
    const bytes = async (): Promise<number> =>
      Number(await admin.memory('USAGE', '{holdfast:order:12345}')) + 64;
    const locker = site.locker({ ttl: 60_000, label: 'host-1:12345' });
    const lock = await locker.lock('order:12345');
    const live = await bytes();
    await lock.release();
    const forgotten = await bytes();
    const waiter = await bytesPerWaiter(site);
    expect(live).toBeLessThan(290);
    expect(forgotten).toBeLessThan(160);
    expect(waiter).toBeLessThan(700);
  });
});

async function bytesPerWaiter(site: Site): Promise<number> {
  const lock = await site.locker({ ttl: 60_000 }).lock('waited-for');
  const count = 50;
  const client = site.client();
  for (let index = 0; index < count; index++) {
    const locker = site.locker({ label: 'host-1:12345' }, client);
    await waiting(locker, () => locker.lock('waited-for'));
  }
  const bytes = await site.admin.memory('USAGE', '{holdfast:waited-for}:queue');
  await lock.release();
  return Number(bytes) / count;
}
