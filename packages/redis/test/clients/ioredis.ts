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

/** By default ioredis sends again, so the server may get it twice. */
const NEVER_AGAIN = { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 };

/** ioredis, in whichever version the tests run on, and iovalkey. */
export const ioredis: ClientKind = {
  name: 'ioredis',
  cannot: {},
  maySendAgain: true,
  canWait: true,
  single: async ({ resends = true, ...options }) =>
    made(new Redis({ ...options, ...(resends ? {} : NEVER_AGAIN) })),
  cluster: async ({ nodes, keyPrefix, username, password, tls, natMap, readsFromReplicas }) =>
    made(
      new Cluster([...nodes], {
        ...(keyPrefix !== undefined && { keyPrefix }),
        ...(natMap !== undefined && { natMap: { ...natMap } }),
        ...(readsFromReplicas === true && { scaleReads: 'slave' as const }),
        redisOptions: {
          ...(username !== undefined && { username }),
          ...(password !== undefined && { password }),
          ...(tls && { tls }),
        },
      }),
    ),
  sentinel: async ({ host, port, name, ...passwords }) =>
    made(new Redis({ ...passwords, sentinels: [{ host, port }], name })),
};
