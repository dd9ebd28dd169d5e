import { LockArgumentError } from '@holdfast/core';
import { useMemcached } from '@holdfast/test-servers';
import { storeConformance } from '@holdfast/testing';
import { Client } from 'memjs';
import { describe, expect, test } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { capabilities } from './kit/capabilities.ts';

describe.concurrent("the memcached store with compat: 'memlock'", () => {
  const memcached = useMemcached();
  const createStore = () => memcachedStore(Client.create(memcached.servers), { compat: 'memlock' });
  for (const { name, run } of storeConformance({ createStore, capabilities })) {
    // Its keys are the user's own, so it has to refuse some.
    const refuses = name === 'keys do not touch each other';
    const refused = () => expect(run()).rejects.toBeInstanceOf(LockArgumentError);
    test(name, refuses ? refused : run);
  }
});
