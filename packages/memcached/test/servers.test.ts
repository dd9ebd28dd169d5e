import { LockArgumentError, LockStoreError, storedKey } from '@holdfast/core';
import { Client } from 'memjs';
import { describe, expect } from 'vitest';
import { memcachedStore, type MemjsClient } from '../src/index.ts';
import { Site, test } from './kit/site.ts';

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
    expect(() => memcachedStore(client, { compat: undefined })).not.toThrow();
  });

  test('fails like a store when the address of a client is none', async ({ site }) => {
    for (const address of ['127.0.0.1:99999', 'no.such.host.invalid:11211']) {
      const locker = site.locker({}, Client.create(address));
      await expect(locker.tryLock('key')).rejects.toBeInstanceOf(LockStoreError);
    }
  });
});
