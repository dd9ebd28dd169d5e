import { setTimeout as sleep } from 'node:timers/promises';
import type { Lock, Locker } from '@holdfast/core';
import type { Redis } from 'ioredis';
import { describe, expect } from 'vitest';
import { ACQUIRE } from '../src/scripts/acquire.ts';
import { test, until, waiting, type Site } from './site.ts';

/** Counts the acquisitions that a client sends. */
function counting(client: Redis, asked: { count: number }): Redis {
  const evalsha = client.evalsha.bind(client) as (...words: unknown[]) => Promise<unknown>;
  const evaluate = client.eval.bind(client) as (...words: unknown[]) => Promise<unknown>;
  client.evalsha = (...words: unknown[]) => {
    if (words[0] === ACQUIRE.sha) asked.count += 1;
    return evalsha(...words);
  };
  client.eval = (...words: unknown[]) => {
    if (words[0] === ACQUIRE.source) asked.count += 1;
    return evaluate(...words);
  };
  return client;
}

/** Lockers that wait for a key, one after the other. */
async function queueUp(site: Site, count: number, asked = { count: 0 }): Promise<Promise<Lock>[]> {
  const queue: Promise<Lock>[] = [];
  for (let index = 0; index < count; index++) {
    const locker = site.locker({}, counting(site.client(), asked));
    queue.push((await waiting(locker, () => locker.lock('key'))).taken);
  }
  return queue;
}

describe.concurrent('those who wait', () => {
  test('serves waiters in order, and each asks twice: to wait and to have the lock', async ({
    site,
  }) => {
    const lock = await site.locker().lock('key');
    const asked = { count: 0 };
    const queue = await queueUp(site, 15, asked);
    const before = asked.count;
    const order: number[] = [];
    const served = queue.map(async (taken, index) => {
      const held = await taken;
      order.push(index);
      await held.release();
    });
    await lock.release();
    await Promise.all(served);
    expect(order).toHaveLength(15);
    // Stalls of a machine that is busy make somebody ask again, behind those who have come since.
    const again = asked.count - before - 15;
    expect(again).toBeLessThanOrEqual(10);
    if (again === 0) expect(order).toEqual(order.toSorted((a, b) => a - b));
  });

  test('make no stampede when the holder crashes', async ({ site }) => {
    const client = site.client();
    await site.locker({ ttl: 2_000 }, client).lock('key');
    const asked = { count: 0 };
    const queue = await queueUp(site, 30, asked);
    asked.count = 0;
    client.disconnect();
    // On a busy machine one may have lost its place meanwhile.
    const first = await Promise.race(queue);
    // By a timer some may have asked in vain; not all of them, nor again and again.
    expect(asked.count).toBeLessThanOrEqual(10);
    await first.release();
    await Promise.all(queue.map(async (taken) => (await taken).release()));
  });

  test('passes over waiters that are gone', async ({ site }) => {
    const lock = await site.locker().lock('key');
    const gone = Array.from({ length: 6 }, () => site.client());
    for (const client of gone) {
      const locker = site.locker({}, client);
      await waiting(locker, () => locker.lock('key'));
    }
    const other = site.locker();
    const { taken } = await waiting(other, () => other.lock('key'));
    for (const client of gone) client.disconnect();
    await lock.release();
    const startedAt = performance.now();
    expect((await taken).state).toBe('held');
    // 2 s, and what a busy machine adds; in virtual time it is looked at closely.
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  test('cost the server little: 300 of one process, and many keys', async ({ site }) => {
    const holder = site.locker();
    const keys = Array.from({ length: 20 }, (_, index) => `key:${index}`);
    const held = await Promise.all(keys.map((key) => holder.lock(key)));
    const locker = site.locker();
    const all = keys.flatMap((key) => Array.from({ length: 15 }, () => locker.lock(key)));
    await sleep(300);
    const before = await scriptCalls(site);
    await sleep(2_000);
    // One refresh for all each 500 ms.
    expect((await scriptCalls(site)) - before).toBeLessThanOrEqual(10);
    await Promise.all(held.map((lock) => lock.release()));
    await Promise.all(all.map(async (taken) => (await taken).release()));
  });
});

const scriptCalls = async (site: Site): Promise<number> => {
  const stats = await site.admin.info('commandstats');
  return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(stats)?.[1]);
};

describe.concurrent('a wake-up that is lost', () => {
  const cutMessages = (site: Site): unknown => site.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');

  test('finds a lost wake-up when the connection is back', async ({ site }) => {
    const lock = await site.locker().lock('key');
    const [first] = await queueUp(site, 1);
    await cutMessages(site);
    await lock.release();
    expect((await (first as Promise<Lock>)).state).toBe('held');
  });

  test('finds a lost wake-up by the timer when messages never come', async ({ site }) => {
    await site.admin.acl('SETUSER', 'mute', 'on', '>secret', '~*', '+@all', 'resetchannels');
    const mute = (): Locker =>
      site.locker({}, site.client({ username: 'mute', password: 'secret' }));
    const holder = mute();
    const warned = new Promise((resolve) => holder.on('warning', resolve));
    for (let round = 0; round < 3; round++) {
      const lock = await holder.lock('key');
      const other = mute();
      const { taken } = await waiting(other, () => other.lock('key'));
      await lock.release();
      await (await taken).release();
      await other.close();
    }
    await holder.lock('held for a while');
    expect(await warned).toMatchObject({ code: 'HOLDFAST_REDIS_NO_MESSAGES' });
  });

  test('passes a reservation on at once when its client has left', async ({ site }) => {
    const lock = await site.locker().lock('key');
    const leaving = site.locker();
    const controller = new AbortController();
    const { taken: left } = await waiting(leaving, () =>
      leaving.lock('key', { signal: controller.signal }),
    );
    left.catch(() => {});
    const [next] = await queueUp(site, 1);
    const released = lock.release();
    controller.abort();
    await released;
    expect((await (next as Promise<Lock>)).state).toBe('held');
    await until(
      'nobody waits',
      async () => (await site.admin.exists('{holdfast:key}:queue')) === 0,
    );
  });
});
