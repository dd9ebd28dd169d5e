import { Cluster, Redis } from 'ioredis';
import type { ClientKind, MadeClient } from './kind.ts';

/** What fails is what the tests look at; without a listener ioredis prints it. */
function made<C extends Redis | Cluster>(client: C): MadeClient<C> {
  client.on('error', () => {});
  return {
    client,
    cut: () => client.disconnect(true),
    close: () => client.disconnect(),
  };
}

/** ioredis, in whichever version the tests run on, and iovalkey. */
export const ioredis: ClientKind = {
  name: 'ioredis',
  cannot: {},
  single: async (options) => made(new Redis({ ...options })),
  cluster: async ({ nodes, keyPrefix, password, tls, natMap, readsFromReplicas }) =>
    made(
      new Cluster([...nodes], {
        ...(keyPrefix !== undefined && { keyPrefix }),
        ...(natMap !== undefined && { natMap: { ...natMap } }),
        ...(readsFromReplicas === true && { scaleReads: 'slave' as const }),
        redisOptions: { ...(password !== undefined && { password }), ...(tls && { tls }) },
      }),
    ),
  sentinel: async ({ host, port, name, ...passwords }) =>
    made(new Redis({ ...passwords, sentinels: [{ host, port }], name })),
};
