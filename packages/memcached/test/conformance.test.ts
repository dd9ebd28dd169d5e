import { useMemcached } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Client } from 'memjs';
import { describe, test } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { capabilities } from './kit/capabilities.ts';

describe.concurrent('the memcached store', () => {
  const memcached = useMemcached();
  const createStore = () => memcachedStore(Client.create(memcached.servers));
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    test(name, run);
  }
});
