import { createLocker } from '@holdfast/core';
import { Client } from 'memjs';
import { describe, expect } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { startChild, useChildren } from './kit/child.ts';
import { Gate } from './kit/gate.ts';
import { test, until, type Site } from './kit/site.ts';

useChildren();

/** A client whose connections can be counted. */
async function countedClient(site: Site): Promise<{ gate: Gate; client: Client }> {
  const gate = await Gate.open(site.server);
  const client = Client.create(gate.address);
  site.onEnd(() => gate.end());
  site.onEnd(() => client.close());
  return { gate, client };
}

describe('connections', () => {
  test('opens connections when they are needed, and closes them with the last locker', async ({
    site,
  }) => {
    const { gate, client } = await countedClient(site);
    const store = memcachedStore(client);
    const [a, b] = [createLocker({ store }), createLocker({ store })];
    expect(gate.open).toBe(0);
    await a.withLock('key', () => {});
    await b.withLock('key', () => {});
    expect(gate.open).toBe(1);
    await a.close();
    await b.withLock('key', () => {});
    expect(gate.open).toBe(1);
    await b.close();
    await until('it is closed', () => gate.open === 0);
    const c = createLocker({ store });
    await c.withLock('key', () => {});
    expect(gate.open).toBe(1);
    await c.close();
    await until('it is closed', () => gate.open === 0);
  });

  test("keeps the connections of the user's client open", async ({ site }) => {
    const { gate, client } = await countedClient(site);
    await client.set('user', 'data', {});
    expect(gate.open).toBe(1);
    const locker = createLocker({ store: memcachedStore(client) });
    await locker.withLock('key', () => {});
    expect(gate.open).toBe(2);
    await locker.close();
    await until('ours is closed', () => gate.open === 1);
    expect(String((await client.get('user')).value)).toBe('data');
    expect(gate.passages).toHaveLength(2);
  });

  test('closes connections with unanswered requests', async ({ site }) => {
    const { gate, client } = await countedClient(site);
    const locker = createLocker({ store: memcachedStore(client) });
    const lock = await locker.lock('key');
    gate.passage.shut = true;
    gate.shut = true;
    const released = lock.release();
    await locker.close();
    expect(await released).toBe(false);
    await until('all are closed', () => gate.open === 0);
  });

  test('leaves no connection of a release that comes after the last locker was closed', async ({
    site,
  }) => {
    const { gate, client } = await countedClient(site);
    const store = memcachedStore(client);
    const locker = createLocker({ store });
    const locks = await Promise.all(['a', 'b', 'c'].map((key) => locker.lock(key)));
    await locker.close();
    await until('it is closed', () => gate.open === 0);
    const before = gate.passages.length;
    await Promise.all(locks.map((lock) => lock.release()));
    expect(gate.passages.length).toBeGreaterThan(before);
    await until('that of the releases is closed too', () => gate.open === 0);
    // Whoever comes then has one for as long as it lasts.
    const next = createLocker({ store });
    for (const key of ['a', 'b']) await next.withLock(key, () => {});
    expect(gate.open).toBe(1);
    expect(gate.passages.length).toBe(before + 2);
    await next.close();
    await until('it is closed', () => gate.open === 0);
  });

  test('leaves no connection of a locker that has only looked who holds a lock', async ({
    site,
  }) => {
    const { gate, client } = await countedClient(site);
    const store = memcachedStore(client);
    const locker = createLocker({ store });
    expect(await locker.inspect('key')).toBeNull();
    expect(await locker.forceRelease('key')).toBe(false);
    expect(gate.passages).toHaveLength(1);
    await locker.close();
    await until('it is closed', () => gate.open === 0);
  });

  test('keeps no process alive by connections and held locks', async ({ site }) => {
    const child = await startChild(site.address, 'leave');
    expect(await child.exit()).toBe('held');
    expect(await site.value('holdfast:key')).toBeDefined();
  });
});

test('closing releases what is held, and refuses what waits', async ({ site }) => {
  const locker = site.locker();
  const lock = await locker.lock('key');
  const waiting = site.locker().lock('key');
  const own = locker.lock('key').catch((error: unknown) => error);
  await locker.close();
  expect(await own).toMatchObject({ code: 'LOCKER_CLOSED' });
  expect(lock.signal.reason).toMatchObject({ reason: 'closed' });
  expect(await (await waiting).release()).toBe(true);
});

test('a store made of a closed client opens its own connections all the same', async ({ site }) => {
  const client = Client.create(site.address);
  client.close();
  await site.locker({}, client).withLock('key', () => {});
});
