import type { AnyRedisClient, AnyRedisCluster } from '@holdfast/redis';

interface Connected<C extends AnyRedisClient | AnyRedisCluster = AnyRedisClient> {
  readonly client: C;
  readonly close: () => unknown;
}

export type AnyConnected = Connected<AnyRedisClient | AnyRedisCluster>;

/** Where servers are for clients, by the address that the servers tell. */
export type AddressMap = Readonly<Record<string, { readonly host: string; readonly port: number }>>;

/** How a client reaches a Cluster: some of its servers, and where each one is. */
interface ClusterPlace {
  readonly ports: readonly number[];
  readonly map: AddressMap;
}

/** How a client reaches what a Sentinel watches. */
interface SentinelPlace {
  readonly port: number;
  readonly name: string;
  readonly map: AddressMap;
}

/** Makes clients as users do. */
interface Library {
  single(port: number): Promise<Connected>;
  cluster(place: ClusterPlace): Promise<Connected<AnyRedisCluster>>;
  /** Absent where it knows of none. */
  sentinel?(place: SentinelPlace): Promise<Connected>;
  /** Whether it may be told to wait for replicas. */
  readonly canWait: boolean;
}

const host = '127.0.0.1';

/** Without a listener an error is printed, or ends the process. */
const ignoreErrors = <C extends { on(event: 'error', listener: () => void): unknown }>(
  client: C,
): C => {
  client.on('error', () => {});
  return client;
};

type Ioredis = Pick<typeof import('ioredis'), 'Cluster' | 'Redis'>;

/**
 * Where a slot moves, ioredis sends an ASKING and looks at its reply nowhere: if the connection is cut
 * then, that is an unhandled rejection of its own. No other may hide behind it.
 */
function handleAsking(node: { asking(): Promise<unknown> }): void {
  const asking = node.asking.bind(node);
  node.asking = () => {
    const asked = asking();
    asked.catch(() => {});
    return asked;
  };
}

/** ioredis, or iovalkey, which began as a copy of it. */
async function likeIoredis(load: () => Promise<Ioredis>): Promise<Library> {
  const { Cluster, Redis } = await load();
  const connected = <C extends InstanceType<typeof Redis | typeof Cluster>>(
    client: C,
  ): Connected<C> => ({ client: ignoreErrors(client), close: () => client.disconnect() });
  return {
    canWait: true,
    single: async (port) => connected(new Redis(port, host)),
    cluster: async ({ ports, map }) => {
      const nodes = ports.map((port) => ({ host, port }));
      const cluster = new Cluster(nodes, { natMap: { ...map } });
      cluster.on('+node', handleAsking);
      return connected(cluster);
    },
    sentinel: async ({ port, name, map }) =>
      connected(new Redis({ sentinels: [{ host, port }], name, natMap: { ...map } })),
  };
}

async function nodeRedis(): Promise<Library> {
  const { createClient, createCluster, createSentinel } = await import('redis');
  const connected = async <C extends { connect(): Promise<unknown>; destroy(): unknown }>(
    client: C & { on(event: 'error', listener: () => void): unknown },
  ): Promise<{ client: C; close: () => unknown }> => {
    await ignoreErrors(client).connect();
    return { client, close: () => client.destroy() };
  };
  return {
    canWait: true,
    single: (port) => connected(createClient({ socket: { host, port } })),
    cluster: ({ ports, map }) =>
      connected(
        createCluster({
          rootNodes: ports.map((port) => ({ socket: { host, port } })),
          // Copies: node-redis notes in what it is given that a connection is not to be made anew.
          nodeAddressMap: (address) => ({ ...(map[address] as AddressMap[string]) }),
        }),
      ),
    sentinel: ({ port, name, map }) =>
      connected(createSentinel({ name, sentinelRootNodes: [{ host, port }], nodeAddressMap: map })),
  };
}

async function glide(): Promise<Library> {
  const { GlideClient, GlideClusterClient, Logger } = await import('@valkey/valkey-glide');
  Logger.setLoggerConfig('off');
  const common = { requestTimeout: 2_000 };
  /** The server is down, or the connection was cut: of the others each tries again by itself. */
  const made = async <C extends { close(): void }>(
    make: () => Promise<C>,
  ): Promise<{ client: C; close: () => unknown }> => {
    for (;;) {
      try {
        const client = await make();
        return { client, close: () => client.close() };
      } catch {
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
      }
    }
  };
  return {
    canWait: false,
    single: (port) =>
      made(() => GlideClient.createClient({ ...common, addresses: [{ host, port }] })),
    cluster: ({ ports, map }) =>
      made(() =>
        GlideClusterClient.createClient({
          ...common,
          addresses: ports.map((port) => ({ host, port })),
          advancedConfiguration: {},
          addressResolver: (told: string, port: number): [string, number] => {
            const mapped = map[`${told}:${port}`];
            return mapped === undefined ? [told, port] : [mapped.host, mapped.port];
          },
        }),
      ),
  };
}

/** Loaded one by one: a process needs only one. */
export const libraries: Readonly<Record<string, () => Promise<Library>>> = {
  ioredis: () => likeIoredis(() => import('ioredis')),
  iovalkey: () => likeIoredis(() => import('iovalkey') as unknown as Promise<Ioredis>),
  'node-redis': nodeRedis,
  glide,
};

export function libraryOf(name: string): Promise<Library> {
  const load = libraries[name];
  if (load === undefined) throw new Error(`There is no client of ${name}.`);
  return load();
}
