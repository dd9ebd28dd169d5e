import { afterAll, beforeAll, inject } from 'vitest';
import type { GivenServer } from './global-setup.ts';
import { startMemcached, startRedis, type RedisOptions, type TestServer } from './servers.ts';

declare module 'vitest' {
  interface ProvidedContext {
    redis: GivenServer;
    memcached: GivenServer;
  }
}

export { ensureBinaries, howToGet, MEMCACHED, REDIS } from './binaries.ts';
export { countedStore, type CountedStore } from './counted-store.ts';
export { gate, type Gate } from './gate.ts';
export { describeOutages, type LockerSite, type OutageTraits } from './outages.ts';
export { unpack } from './packed.ts';
export { fails, serverBehindProxy, TestSite, until } from './site.ts';
export { hasOwnClock, ownClock, type OwnClock } from './own-clock.ts';
export { startProxy, type FaultProxy } from './proxy.ts';
export { makeCertificate, type TestCertificate } from './certificate.ts';
export { redisCommand, type RedisAddress } from './redis-command.ts';
export {
  startRedisCluster,
  startRedisSentinel,
  startRedisWith,
  startReplicated,
  type TestCluster,
  type TestSentinel,
} from './redis-topologies.ts';
export {
  freePort,
  startMemcached,
  startRedis,
  type RedisOptions,
  type TestServer,
} from './servers.ts';

/** The binaries to start more servers from; empty if only an address is known. */
export const redisBinary = (): string => inject('redis').binary ?? '';
export const memcachedBinary = (): string => inject('memcached').binary ?? '';

/** One Redis server for the test file that calls this: its own, unless the environment names one. */
export function useRedis(options: RedisOptions = {}): { readonly url: string } {
  const { address, binary = '' } = inject('redis');
  let server: TestServer | undefined;
  beforeAll(async () => {
    if (address === undefined) server = await startRedis(binary, options);
  });
  afterAll(() => server?.stop());
  return {
    get url(): string {
      return address ?? `redis://${server?.host}:${server?.port}`;
    },
  };
}

/** One memcached for the test file that calls this: its own, unless the environment names one. */
export function useMemcached(): { readonly servers: string } {
  const { address, binary = '' } = inject('memcached');
  let server: TestServer | undefined;
  beforeAll(async () => {
    if (address === undefined) server = await startMemcached(binary);
  });
  afterAll(() => server?.stop());
  return {
    get servers(): string {
      return address ?? `${server?.host}:${server?.port}`;
    },
  };
}
