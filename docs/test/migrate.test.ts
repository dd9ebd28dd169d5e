import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { gate, useRedis } from '@holdfast/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { closeClients } from './clients.ts';
import { instanceOf } from './module.ts';

type Exclusively = <T>(key: string, work: (signal: AbortSignal) => Promise<T>) => Promise<T>;

const server = useRedis();
beforeAll(() => {
  process.env['REDIS_URL'] = server.url;
});
afterAll(closeClients);

/** Whether the second can work while the first does. */
async function overlap(first: Exclusively, second: Exclusively, key: string): Promise<boolean> {
  const order: string[] = [];
  const [begun, end, other] = [gate(), gate(), gate()];
  const one = first(key, async () => {
    order.push('first begins');
    begun.open();
    await end.opened;
    order.push('first ends');
  });
  await begun.opened;
  const two = second(key, async () => {
    order.push('second');
    other.open();
  });
  // Who is not excluded gets in within some round trips; who is, cannot whatever the time.
  await Promise.race([other.opened, setTimeout(400)]);
  end.open();
  await Promise.all([one, two]);
  return order.indexOf('second') < order.indexOf('first ends');
}

const folder = mkdtempSync(join(tmpdir(), 'holdfast-docs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PAGES = ['redlock', 'redis-semaphore', 'verrou', 'proper-lockfile', 'set-nx'];

describe.each(PAGES)('the modules of the page on migrating from %s', (page) => {
  const key = join(folder, page);
  let before: Exclusively;
  let between: Exclusively;
  let after: Exclusively;

  beforeAll(async () => {
    const module = async (block: number): Promise<Exclusively> =>
      (await instanceOf<{ exclusively: Exclusively }>(`migrate/${page}.md`, block)).exclusively;
    [before, after, between] = [await module(0), await module(1), await module(2)];
  });

  test('return what the work returns', async () => {
    expect(await before(key, async () => 1)).toBe(1);
    expect(await between(key, async () => 2)).toBe(2);
    expect(await after(key, async () => 3)).toBe(3);
  });

  test('do not exclude each other before and after, without the deploy between', async () => {
    expect(await overlap(before, after, key)).toBe(true);
    expect(await overlap(after, before, key)).toBe(true);
  });

  test('exclude old instances from the deploy between, and the other way round', async () => {
    expect(await overlap(before, between, key)).toBe(false);
    expect(await overlap(between, before, key)).toBe(false);
  });

  test('exclude the deploy between from new instances, and the other way round', async () => {
    expect(await overlap(between, after, key)).toBe(false);
    expect(await overlap(after, between, key)).toBe(false);
  });
});

describe('the modules of the page on migrating from async-mutex', () => {
  test('exclude each other within the process where the new code takes both', async () => {
    const load = <T>(block: number): Promise<T> => instanceOf<T>('migrate/async-mutex.md', block);
    const { exclusively: before } = await load<{ exclusively: Exclusively }>(0);
    const { exclusively: after } = await load<{ exclusively: Exclusively }>(1);
    const { alsoExcluding } = await load<{ alsoExcluding: (old: Exclusively) => Exclusively }>(2);
    const between = alsoExcluding(before);
    expect(await overlap(before, before, 'a')).toBe(false);
    expect(await overlap(after, after, 'a')).toBe(false);
    expect(await overlap(before, after, 'a')).toBe(true);
    expect(await overlap(before, between, 'a')).toBe(false);
    expect(await overlap(between, before, 'a')).toBe(false);
    expect(await between('a', async () => 'value')).toBe('value');
  });
});

test('redlock tells busy and away by one error, and a locker by two', async () => {
  const { Redis } = await import('ioredis');
  const { default: Redlock } = await import('redlock');
  const { redisStore } = await import('@holdfast/redis');
  const redis = new Redis(server.url);
  const away = new Redis({ port: 1, lazyConnect: true, retryStrategy: () => null });
  away.on('error', () => {});

  const settings = { retryCount: 0 };
  const held = await new Redlock([redis], settings).acquire(['busy'], 10_000);
  const theirs = [redis, away].map((client) =>
    new Redlock([client], settings).acquire(['busy'], 1_000).catch((error: Error) => error.name),
  );
  expect(await Promise.all(theirs)).toEqual(['ExecutionError', 'ExecutionError']);
  await held.release();

  const locker = createLocker({ store: redisStore(redis), wait: 0 });
  const lock = await locker.lock('busy');
  await expect(locker.lock('busy')).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
  const apart = createLocker({ store: redisStore(away), wait: 0 });
  await expect(apart.lock('busy')).rejects.toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE' });
  await lock.release();
  await Promise.all([locker.close(), apart.close()]);
  redis.disconnect();
  away.disconnect();
});
