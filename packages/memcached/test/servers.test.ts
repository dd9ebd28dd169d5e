import { LockArgumentError, LockStoreError, storedKey } from '@holdfast/core';
import { Client } from 'memjs';
import { describe, expect } from 'vitest';
import { memcachedStore, type MemjsClient } from '../src/index.ts';
import { Site, test, until } from './kit/site.ts';

const KEYS = Array.from({ length: 40 }, (_, index) => `key:${index}`);

async function withTwo(work: (sites: readonly [Site, Site]) => Promise<void>): Promise<void> {
  const sites = [await Site.start(), await Site.start()] as const;
  try {
    await work(sites);
  } finally {
    for (const site of sites) await site.end();
  }
}

describe.concurrent('with several servers', () => {
  test('each lock is where the client would look for its key', async () => {
    await withTwo(async (sites) => {
      const client = Client.create(sites.map((site) => site.address).join(','));
      const locker = sites[0].locker({}, client);
      await Promise.all(KEYS.map((key) => locker.lock(key)));
      const found = await Promise.all(
        KEYS.map(async (key) => {
          const stored = storedKey('holdfast', key);
          const { port } = client.server(stored) as { port: number };
          const at = sites.findIndex((site) => site.proxy.port === port);
          expect(await sites[at]?.value(stored)).toBeDefined();
          expect(await sites[1 - at]?.value(stored)).toBeUndefined();
          return at;
        }),
      );
      expect(new Set(found)).toEqual(new Set([0, 1]));
    });
  });

  test('finds each lock where the client was told to look', async () => {
    await withTwo(async (sites) => {
      const client = Client.create(sites.map((site) => site.address).join(','));
      Object.assign(client, { getServer: (key: string) => (key.endsWith('7') ? 1 : 0) });
      const locker = sites[0].locker({}, client);
      await Promise.all(KEYS.map((key) => locker.lock(key)));
      for (const key of KEYS) {
        const at = key.endsWith('7') ? sites[1] : sites[0];
        expect(await at.value(storedKey('holdfast', key))).toBeDefined();
      }
    });
  });

  test('one that is away does not stop the others', async () => {
    await withTwo(async (sites) => {
      const client = Client.create(sites.map((site) => site.address).join(','));
      Object.assign(client, { getServer: (key: string) => (key.endsWith('7') ? 1 : 0) });
      const locker = sites[0].locker({}, client);
      await sites[1].server.kill();
      await expect(locker.tryLock('7')).rejects.toBeInstanceOf(LockStoreError);
      await locker.withLock('8', () => {});
    });
  });

  test('one that hangs costs its own locks, and no others', async () => {
    await withTwo(async (sites) => {
      const client = Client.create(sites.map((site) => site.address).join(','));
      Object.assign(client, { getServer: (key: string) => (key.endsWith('7') ? 1 : 0) });
      const locker = sites[0].locker({ ttl: 3_000 }, client);
      const locks = await Promise.all(['1', '2', '7', '17'].map((key) => locker.lock(key)));
      const lost: unknown[] = [];
      locker.on('lost', ({ key, reason }) => lost.push({ key, reason }));
      const renewed = new Map<string | undefined, number>();
      locker.on('renewed', ({ key }) => renewed.set(key, (renewed.get(key) ?? 0) + 1));
      await sites[1].freeze();
      await until('the locks of the server that hangs are lost', () => lost.length >= 2);
      const seen = new Map(renewed);
      // Renewed for longer than a lease, while the other hangs.
      await until('the others are renewed on and on', () =>
        ['1', '2'].every((key) => (renewed.get(key) ?? 0) >= (seen.get(key) ?? 0) + 4),
      );
      expect(locks.map(({ state }) => state)).toEqual(['held', 'held', 'lost', 'lost']);
      expect(lost).toEqual(
        expect.arrayContaining(['7', '17'].map((key) => ({ key, reason: 'expired' }))),
      );
      for (const lock of locks.slice(0, 2)) expect(await lock.release()).toBe(true);
    });
  });
});

describe.concurrent('a client', () => {
  test('refuses a client that is none', () => {
    const nothings = [undefined, null, {}, 'localhost', { servers: [], server: () => null }];
    for (const nothing of nothings) {
      expect(() => memcachedStore(nothing as unknown as MemjsClient)).toThrow(LockArgumentError);
    }
  });

  test('refuses a client whose options are none', () => {
    const client = Client.create('127.0.0.1:1');
    for (const options of [null, 'memlock', { compat: 'memLock' }, { compat: null }]) {
      expect(() => memcachedStore(client, options as { compat?: 'memlock' })).toThrow(
        LockArgumentError,
      );
    }
    expect(() => memcachedStore(client, { compta: 'memlock' } as object)).toThrow('`compat`');
    expect(() => memcachedStore(client, { compat: undefined })).not.toThrow();
  });

  test('fails like a store when the address of a client is none', async ({ site }) => {
    for (const address of ['127.0.0.1:99999', 'no.such.host.invalid:11211']) {
      const locker = site.locker({}, Client.create(address));
      await expect(locker.tryLock('key')).rejects.toBeInstanceOf(LockStoreError);
    }
  });
});
