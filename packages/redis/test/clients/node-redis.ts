import { createClient, createCluster, createSentinel } from 'redis';
import type { AnyRedisCluster, NodeRedisClient, NodeRedisCluster } from '@holdfast/redis';
import type { ClientKind, MadeClient, SingleOptions } from './kind.ts';

/** Version 5 has no getter for it. */
const hasKeyPrefix = '_keyPrefix' in createClient();

const NO_PREFIX = { 'a key prefix': 'node-redis 5 has no key prefix' };

type Tls = SingleOptions['tls'];

const secure = (tls: Tls): object => (tls === undefined ? {} : { tls: true, ...tls });

/** Without a listener an error ends the process. `QUIT` makes the server end the connection. */
async function connected<C extends { connect(): Promise<unknown>; destroy(): unknown }>(
  client: C & { on(event: 'error', listener: () => void): unknown; readonly isOpen: boolean },
  nodes: () => Promise<readonly Pick<NodeRedisClient, 'sendCommand'>[]>,
): Promise<Omit<MadeClient, 'client'> & { readonly client: C }> {
  client.on('error', () => {});
  await client.connect();
  return {
    client,
    cut: async () => {
      for (const node of await nodes()) await node.sendCommand(['QUIT']).catch(() => {});
    },
    close: async () => {
      if (client.isOpen) await client.destroy();
    },
  };
}

/** node-redis 6, or 5. */
export const nodeRedis: ClientKind = {
  name: 'node-redis',
  cannot: hasKeyPrefix ? {} : NO_PREFIX,
  maySendAgain: false,
  canWait: true,

  async single({ host, port, db, keyPrefix, username, password, tls }) {
    const client = createClient({
      socket: { host, port, ...secure(tls) },
      ...(db !== undefined && { database: db }),
      ...(keyPrefix !== undefined && { keyPrefix }),
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
    });
    return connected(client, async () => [client]);
  },

  async cluster({ nodes, keyPrefix, username, password, tls, natMap, readsFromReplicas = false }) {
    const socket = secure(tls);
    const cluster = createCluster({
      rootNodes: nodes.map(({ host, port }) => ({ socket: { host, port } })),
      defaults: {
        socket,
        ...(username !== undefined && { username }),
        ...(password !== undefined && { password }),
      },
      useReplicas: readsFromReplicas,
      ...(keyPrefix !== undefined && { keyPrefix }),
      ...(natMap !== undefined && { nodeAddressMap: natMap }),
    });
    const masters = (): Promise<NodeRedisClient[]> => {
      const { masters: all } = cluster as NodeRedisCluster;
      return Promise.all(all.map(async (node) => (cluster as NodeRedisCluster).nodeClient(node)));
    };
    return connected(cluster, masters) as Promise<MadeClient<AnyRedisCluster>>;
  },

  async sentinel({ host, port, name, password, sentinelPassword }) {
    const sentinel = createSentinel({
      name,
      sentinelRootNodes: [{ host, port }],
      nodeClientOptions: password === undefined ? {} : { password },
      sentinelClientOptions: sentinelPassword === undefined ? {} : { password: sentinelPassword },
    });
    const primary = { sendCommand: (args: string[]) => sentinel.sendCommand(false, args) };
    return connected(sentinel, async () => [primary as Pick<NodeRedisClient, 'sendCommand'>]);
  },
};
