import { useMemcached } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Client } from 'memjs';
import { describe, test } from 'vitest';
import { memcachedStore } from '../src/index.ts';

const capabilities = {
  fencing: 'best-effort',
  wakeUp: 'poll',
  minTtl: 2_000,
  granularity: 1_000,
  sharedClock: false,
  exactLoss: false,
  checkEvery: 2_000,
} as const;

const memcached = useMemcached();

describe.concurrent('the memcached store', () => {
  const createStore = () => memcachedStore(Client.create(memcached.servers));
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, run, 60_000);
  }
});

describe.concurrent("the memcached store with compat: 'memlock'", () => {
  const createStore = () => memcachedStore(Client.create(memcached.servers), { compat: 'memlock' });
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, run, 60_000);
  }
});
