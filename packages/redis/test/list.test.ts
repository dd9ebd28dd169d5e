import { LockArgumentError, type ListedGrant, type LockStore } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedisCluster, useRedis } from '@holdfast/test-servers';
import { Cluster, type Redis } from 'ioredis';
import { afterEach, describe, expect, test } from 'vitest';
import { Bench } from './kit.ts';

const server = useRedis();
const bench = new Bench(() => server.url);

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

let ids = 0;
function take(store: LockStore, key: string, more = {}) {
  const id = `id${ids++}`;
  const request = { key, id, owner: id, label: 'web-1', ttl: 60_000, tokens: 4, client: 'me' };
  return store.acquire({ ...request, wait: false, ...more });
}

async function walk(store: LockStore, prefix: string, limit: number, admin?: Redis) {
  const grants: ListedGrant[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await store.list?.({ prefix, limit, cursor, client: 'me' });
    if (page === undefined) throw new Error('The store cannot list.');
    expect(page.grants.length).toBeLessThanOrEqual(limit);
    grants.push(...page.grants);
    ({ cursor } = page);
    pages += 1;
    await admin?.ping();
  } while (cursor !== undefined);
  return { grants, pages };
}

const names = ({ grants }: { grants: ListedGrant[] }): string[] =>
  [...new Set(grants.map(({ key }) => key))].toSorted();

const clients = {
  'a client': () => bench.client(),
  'a client with a key prefix': () => bench.client({ keyPrefix: 'app*[1]:' }),
  'a client of another database': () => bench.client({ db: 3 }),
  'a client that tells numbers as texts': () => bench.client({ stringNumbers: true }),
};

test.each(Object.entries(clients))('%s lists what is held, and nothing else', async (_, make) => {
  const client = make();
  await client.flushdb();
  const store = redisStore(client);
  const before = Date.now();
  for (const key of ['ns:a', 'ns:b', 'ns:free', 'other:a', 'ns:kept', 'ns:short']) {
    await take(store, key, {
      id: key,
      owner: `owner of ${key}`,
      ttl: key === 'ns:short' ? 50 : 60_000,
    });
  }
  await store.release({ key: 'ns:free', id: 'ns:free' });
  await store.release({ key: 'ns:kept', id: 'ns:kept', keepFor: 30_000 });
  await take(store, 'ns:a', { client: 'waits', wait: true });
  await new Promise((resolve) => setTimeout(resolve, 80));
  const found = await walk(store, 'ns:', 10);
  expect(names(found)).toEqual(['ns:a', 'ns:b', 'ns:kept']);
  const grant = found.grants.find(({ key }) => key === 'ns:a');
  expect(grant).toMatchObject({ owner: 'owner of ns:a', label: 'web-1', waiters: 1 });
  expect(grant?.since).toBeGreaterThanOrEqual(before - 1_000);
  expect(grant?.since).toBeLessThanOrEqual(Date.now() + 1_000);
  expect(grant?.remaining).toBeGreaterThan(0);
  expect(grant?.fencingToken).toBeTypeOf('number');
  expect(names(await walk(store, '', 1))).toEqual(['ns:a', 'ns:b', 'ns:kept', 'other:a']);
});

test('the queue of a lock is shown with labels, next first', async () => {
  const store = redisStore(bench.client());
  await take(store, 'queue:a');
  for (const [index, label] of ['one', 'two "2"', 'three'].entries()) {
    await take(store, 'queue:a', { client: `c${index}`, label, wait: true });
  }
  await store.refresh?.('c1', ['queue:a']);
  // With another label it keeps its place.
  await take(store, 'queue:a', { client: 'c0', label: 'uno', wait: true });
  const grant = await store.inspect({ key: 'queue:a', client: 'me' });
  expect(grant?.queue?.map(({ label }) => label)).toEqual(['uno', 'two "2"', 'three']);
  for (const { since } of grant?.queue ?? [])
    expect(Math.abs(since - Date.now())).toBeLessThan(60_000);
  const own = await store.inspect({ key: 'queue:a', client: 'c1' });
  expect(own?.queue?.map(({ label }) => label)).toEqual(['uno', 'three']);
  expect(own?.waiters).toBe(2);
});

test.each([
  '',
  'x',
  '1',
  '1 0',
  '2 0  ',
  '1 -1  ',
  '1 x  ',
  '1 0 host:1 a',
  '1 18446744073709551616  ',
  '1 99999999999999999999  ',
  `1 0  ${'a'.repeat(300)}`,
])('a cursor that it cannot have given is refused: %j', async (cursor) => {
  const store = redisStore(bench.client());
  const page = Promise.resolve(store.list?.({ prefix: '', limit: 10, cursor, client: 'me' }));
  await expect(page).rejects.toBeInstanceOf(LockArgumentError);
});

test('100,000 locks are listed in pages without a command above 5 ms of server time', async () => {
  const client = bench.client({ db: 5 });
  await client.flushdb();
  const count = 100_000;
  const ends = Date.now() + 3_600_000;
  for (let from = 0; from < count; from += 10_000) {
    const pairs = Array.from({ length: 10_000 }, (_, index) => [
      `{many:${from + index}}`,
      `holdfast:1 held ${ends} 000060000 1764401234567890 128 - id${from + index} pabc/me web-1 =`,
    ]);
    await client.mset(...pairs.flat());
  }
  const store = redisStore(client);
  await client.config('RESETSTAT');
  const { grants, pages } = await walk(store, 'many:', 1_000);
  expect(new Set(grants.map(({ key }) => key)).size).toBe(count);
  expect(pages).toBeLessThan(400);
  const stats = await client.info('commandstats');
  for (const name of ['scan', 'evalsha']) {
    const [, micros] = new RegExp(`cmdstat_${name}:.*usec_per_call=([\\d.]+)`).exec(stats) ?? [];
    expect(Number(micros)).toBeGreaterThan(0);
    expect(Number(micros)).toBeLessThan(5_000);
  }
  expect(stats).not.toContain('cmdstat_keys');
  await client.flushdb();
});

describe('a cluster', () => {
  test('lists the locks of all its masters, also under changes', async () => {
    const cluster = await startRedisCluster(redisBinary());
    endings.push(() => cluster.stop());
    const nodes = cluster.masters.map(({ host, port }) => ({ host, port }));
    const client = new Cluster(nodes, { keyPrefix: 'app:' });
    endings.unshift(() => client.disconnect());
    const store = redisStore(client);
    const keys = Array.from({ length: 300 }, (_, index) => `ns:${index}`);
    await Promise.all(keys.map(async (key) => take(store, key, { id: key })));
    for (const limit of [7, 100, 1_000]) {
      expect(names(await walk(store, 'ns:', limit))).toEqual(keys.toSorted());
    }
    // Others come and go during the walk.
    let round = 0;
    const seen = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = await store.list?.({ prefix: 'ns:', limit: 20, cursor, client: 'me' });
      for (const { key } of page?.grants ?? []) seen.add(key);
      cursor = page?.cursor;
      const goes = keys[round];
      if (goes !== undefined && round < 100) await store.release({ key: goes, id: goes });
      await take(store, `ns:new:${round++}`);
    } while (cursor !== undefined);
    for (const key of keys.slice(100)) expect(seen).toContain(key);
    await expect(
      Promise.resolve(store.list?.({ prefix: '', limit: 5, cursor: '1 0  ', client: 'me' })),
    ).rejects.toBeInstanceOf(LockArgumentError);
  }, 60_000);
});
