import type { LockStore } from '@holdfast/core';
import type { Client } from 'memjs';
import { expectTypeOf, test } from 'vitest';
import { memcachedStore, type MemcachedStoreOptions, type MemjsClient } from '../src/index.ts';

test('a client of memjs fits, whatever its values are', () => {
  expectTypeOf<Client>().toExtend<MemjsClient>();
  expectTypeOf<Client<object, object>>().toExtend<MemjsClient>();
  expectTypeOf(memcachedStore).returns.toEqualTypeOf<LockStore>();
  expectTypeOf<{ compat: undefined }>().toExtend<MemcachedStoreOptions>();
  expectTypeOf<{ compat: 'memlock' }>().toExtend<MemcachedStoreOptions>();
});
