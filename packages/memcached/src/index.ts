export { memcachedStore, type MemcachedStoreOptions } from './memcached-store.ts';
export type { MemjsClient, MemjsServer } from './memjs.ts';
