import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import type { AcquireRequest } from '@holdfast/core';
import { memcachedStore } from '../src/index.ts';
import { startChild, useChildren } from './kit/child.ts';
import { test } from './kit/site.ts';

useChildren();

const request = (key: string): AcquireRequest => {
  const id = randomUUID();
  const common = { key, id, owner: id, label: 'race', client: id, ttl: 10_000 };
  return { ...common, tokens: 1, wait: false };
};

describe.concurrent('between processes', () => {
  test('4 of them never hold a lock at once, and their tokens grow', async ({ site }) => {
    await site.ask('set counter 0 0 3\r\n0 0');
    const increments = 150;
    const children = await Promise.all(
      Array.from({ length: 4 }, () => startChild(site.address, 'count', String(increments))),
    );
    for (const child of children) child.send('go');
    const reports = await Promise.all(children.map((child) => child.exit()));
    expect(reports).toEqual(Array.from({ length: 4 }, () => 'done'));
    const [count] = (await site.value('counter'))?.split(' ') ?? [];
    expect(Number(count)).toBe(4 * increments);
  });

  test('the lock of one that is killed is free when its lease is over', async ({ site }) => {
    const child = await startChild(site.address, 'hold', '2000');
    expect(await child.line()).toBe('held');
    const locker = site.locker();
    expect(await locker.tryLock('key')).toBeNull();
    child.kill('SIGKILL');
    const lock = await locker.lock('key', { wait: 20_000 });
    expect(lock.state).toBe('held');
  });

  test('one that was frozen beyond its lease knows at once that it has lost it', async ({
    site,
  }) => {
    const child = await startChild(site.address, 'hold', '2000');
    expect(await child.line()).toBe('held');
    child.kill('SIGSTOP');
    const locker = site.locker();
    const lock = await locker.lock('key', { wait: 20_000 });
    child.kill('SIGCONT');
    child.send('look');
    expect(await child.line()).toBe('lost');
    child.send('release');
    expect(await child.line()).toBe('false');
    await lock.extend();
    expect(lock.state).toBe('held');
    expect(await lock.release()).toBe(true);
  });
});

describe.concurrent('a late release', () => {
  test('never frees the next holder, in 1,000 races', async ({ site }) => {
    const [late, next] = [memcachedStore(site.client()), memcachedStore(site.client())];
    let granted = 0;
    const race = async (round: number): Promise<void> => {
      const key = `race:${round}`;
      const first = request(key);
      expect(await late.acquire(first)).toMatchObject({ granted: true });
      // Its lease is over; it does not know yet.
      await site.ask(`delete ${key}`);
      const second = request(key);
      const release = { key, id: first.id };
      const lateFirst = round % 2 === 0;
      const early = lateFirst ? late.release(release) : undefined;
      const attempt = next.acquire(second);
      const freed = await Promise.all([early ?? late.release(release), late.release(release)]);
      const reply = await attempt;
      expect(freed).toEqual([false, false]);
      expect(reply).toMatchObject({ granted: true });
      granted += 1;
      expect(await late.release(release)).toBe(false);
      const renewal = { key, id: second.id, owner: second.owner, ttl: second.ttl };
      expect(await next.renew([renewal])).toEqual(['renewed']);
      expect(await next.release({ key, id: second.id })).toBe(true);
    };
    for (let round = 0; round < 1_000; round += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, index) => race(round + index)));
    }
    expect(granted).toBe(1_000);
  });

  test('never frees the next holder, in 1,000 races of releases against attempts', async ({
    site,
  }) => {
    const [late, next] = [memcachedStore(site.client()), memcachedStore(site.client())];
    let granted = 0;
    for (let round = 0; round < 1_000; round++) {
      const first = request('race');
      expect(await late.acquire(first)).toMatchObject({ granted: true });
      const second = request('race');
      const release = { key: 'race', id: first.id };
      const releases = Promise.all([late.release(release), late.release(release)]);
      const reply = await next.acquire(second);
      await releases;
      await late.release(release);
      if (!reply.granted) continue;
      granted += 1;
      expect(await next.release({ key: 'race', id: second.id })).toBe(true);
    }
    expect(granted).toBeGreaterThan(0);
  });
});

test('1,000 aborts at the moment of the grant leave a handle or a free key', async ({ site }) => {
  const locker = site.locker();
  let held = 0;
  for (let round = 0; round < 1_000; round++) {
    const controller = new AbortController();
    const attempt = locker.lock(`key:${round % 50}`, { signal: controller.signal }).then(
      (lock) => lock,
      () => undefined,
    );
    if (round % 3 === 0) await Promise.resolve();
    if (round % 3 === 1) await sleep(0);
    controller.abort();
    const lock = await attempt;
    if (lock === undefined) continue;
    held += 1;
    await lock.release();
  }
  expect(held).toBeLessThan(1_000);
  const other = site.locker();
  for (let key = 0; key < 50; key++) {
    const lock = await other.lock(`key:${key}`, { wait: 20_000 });
    expect(await lock.release()).toBe(true);
  }
});
