import { setTimeout as sleep } from 'node:timers/promises';
import {
  makeCertificate,
  redisBinary,
  redisCommand,
  startProxy,
  startRedis,
  startRedisCluster,
  startRedisSentinel,
  startRedisWith,
  startReplicated,
  type TestCluster,
  type TestServer,
} from '@holdfast/test-servers';
import type { AnyRedisClient, AnyRedisCluster } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { slotOf } from '../src/commands/slots.ts';
import {
  clientKind,
  type ClusterOptions,
  type MadeClient,
  type SingleOptions,
} from './clients/index.ts';
import { documentedRights } from './documented-rights.ts';

/** Where locks are used: servers, and clients of them. */
export interface Environment {
  /** A client as of a process of its own. */
  connect(): Promise<AnyMadeClient>;
  /** Deletes a key of the server, with every right. */
  delete(key: string): Promise<unknown>;
  /** What befalls the servers while locks are used, if something does; `key` is a lock's key there. */
  disturb?(key: string): Promise<void>;
}

type AnyMadeClient = MadeClient<AnyRedisClient | AnyRedisCluster>;

/** Servers that are started when the first test needs them, and end with the file. */
export class Servers {
  private readonly endings: (() => unknown)[] = [];
  private readonly started = new Map<string, Promise<unknown>>();

  /** What is started once, under a name. */
  once<T>(name: string, start: () => Promise<T>): Promise<T> {
    const known = this.started.get(name) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const starting = start();
    this.started.set(name, starting);
    return starting;
  }

  onEnd<T extends { stop(): unknown }>(thing: T): T {
    this.endings.push(() => thing.stop());
    return thing;
  }

  /** Not of the library that is tested. */
  administrator(options: SingleOptions): Redis {
    const client = new Redis({ ...options });
    client.on('error', () => {});
    this.endings.push(() => client.disconnect());
    return client;
  }

  async client<M extends AnyMadeClient>(making: Promise<M>): Promise<M> {
    const made = await making;
    this.endings.push(() => made.close());
    return made;
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.started.values());
    for (const end of this.endings.toReversed()) await end();
  }
}

type Options = Omit<SingleOptions, 'host' | 'port'>;

/** One server, whose clients differ from its administrator's. */
function single(
  servers: Servers,
  { port, host }: Pick<TestServer, 'host' | 'port'>,
  admin: Options,
  options: Options = admin,
): Environment {
  const { db, keyPrefix = '' } = options;
  const administrator = servers.administrator({ ...admin, db, port, host });
  return {
    connect: () => servers.client(clientKind.single({ ...admin, ...options, port, host })),
    delete: (key) => administrator.del(`${keyPrefix}${key}`),
  };
}

function clustered(
  servers: Servers,
  cluster: TestCluster,
  options: Omit<ClusterOptions, 'nodes'> = {},
  admin = options,
): Environment {
  const nodes = cluster.masters.map(({ host, port }) => ({ host, port }));
  const { password, tls } = admin;
  const all = [...cluster.masters, ...cluster.replicas];
  let administrators: readonly Redis[] | undefined;
  return {
    connect: () => servers.client(clientKind.cluster({ ...options, nodes })),
    delete: async (key) => {
      administrators ??= all.map(({ host, port }) =>
        servers.administrator({ host, port, password, tls }),
      );
      // Only the one that has the slot does it.
      await Promise.any(administrators.map((administrator) => administrator.del(key)));
    },
  };
}

const plain = (servers: Servers): Promise<TestServer> =>
  servers.once('plain', async () => servers.onEnd(await startRedis(redisBinary())));

const certificate = (
  servers: Servers,
): Promise<{ readonly tls: ReturnType<typeof makeCertificate> }> =>
  servers.once('certificate', async () => {
    const tls = makeCertificate();
    servers.onEnd({ stop: () => tls.remove() });
    return { tls };
  });

/** A cluster of two masters. */
const cluster = (
  servers: Servers,
  name: string,
  options: Parameters<typeof startRedisCluster>[3] = {},
  args: readonly string[] = [],
): Promise<TestCluster> =>
  servers.once(name, async () =>
    servers.onEnd(await startRedisCluster(redisBinary(), 2, args, options)),
  );

/** Moves the slot of a key to the other master. */
async function moveSlotOf(started: TestCluster, key: string): Promise<void> {
  const [first, second] = started.masters as [TestServer, TestServer];
  const slot = slotOf(key);
  const inOrder = slot < 8_192;
  await started.moveSlot(slot, inOrder ? first : second, inOrder ? second : first);
}

const PASSWORD = 'p4ssw:rd/with?marks';

/** Every kind of place in which locks have to work. */
export const environments: Record<string, (servers: Servers) => Promise<Environment>> = {
  'a single server': async (servers) => single(servers, await plain(servers), {}),

  'a database other than 0': async (servers) =>
    single(servers, await plain(servers), {}, { db: 5 }),

  'a key prefix': async (servers) =>
    single(servers, await plain(servers), {}, { keyPrefix: 'app:' }),

  'a password': async (servers) => {
    const server = await startRedisWith(redisBinary(), { password: PASSWORD });
    return single(servers, servers.onEnd(server), { password: PASSWORD });
  },

  'a user with the least rights': async (servers) => {
    const server = await plain(servers);
    const rights = await documentedRights();
    const rules = ['reset', 'on', `>${PASSWORD}`, ...rights];
    await redisCommand(server, 'ACL', 'SETUSER', 'locks', ...rules);
    return single(servers, server, {}, { username: 'locks', password: PASSWORD });
  },

  TLS: async (servers) => {
    const { tls } = await certificate(servers);
    const server = await startRedisWith(redisBinary(), { tls });
    return single(servers, servers.onEnd(server), { tls: { ca: tls.ca } });
  },

  'Sentinel with passwords on both': async (servers) => {
    const passwords = {
      password: PASSWORD,
      sentinelPassword: `sentinel ${PASSWORD}`.replace(' ', '-'),
    };
    const sentinel = servers.onEnd(await startRedisSentinel(redisBinary(), passwords));
    const { host, port, name } = sentinel;
    const { password } = passwords;
    const [primary] = sentinel.servers;
    const administrator = servers.administrator({
      host: primary.host,
      port: primary.port,
      password,
    });
    return {
      connect: () => servers.client(clientKind.sentinel({ ...passwords, host, port, name })),
      delete: (key) => administrator.del(key),
    };
  },

  'a cluster': async (servers) => clustered(servers, await cluster(servers, 'cluster')),

  'a cluster with a password': async (servers) => {
    const started = await cluster(servers, 'password', { password: PASSWORD });
    return clustered(servers, started, { password: PASSWORD });
  },

  'a cluster with TLS': async (servers) => {
    const { tls } = await certificate(servers);
    const started = await cluster(servers, 'TLS', { tls });
    return clustered(servers, started, { tls: { ca: tls.ca } });
  },

  'a cluster with natMap': async (servers) => {
    // The servers tell clients a name that nobody can look up.
    const kind = ['--cluster-preferred-endpoint-type', 'hostname'];
    const args = [...kind, '--cluster-announce-hostname', 'redis.invalid'];
    const started = await cluster(servers, 'natMap', {}, args);
    const natMap = Object.fromEntries(
      started.masters.map(({ host, port }) => [`redis.invalid:${port}`, { host, port }]),
    );
    return clustered(servers, started, { natMap });
  },

  'a cluster with scaleReads': async (servers) => {
    const started = await cluster(servers, 'scaleReads', { replicas: true });
    return clustered(servers, started, { readsFromReplicas: true });
  },

  'a cluster with replicas that fails over': async (servers) => {
    const started = await cluster(servers, 'failover', { replicas: true });
    const failOver = async (): Promise<void> => {
      for (const replica of started.replicas) await started.promote(replica);
    };
    return {
      ...clustered(servers, started),
      disturb: () => servers.once('failed over', failOver),
    };
  },

  'a cluster whose slot moves': async (servers) => {
    const started = await cluster(servers, 'cluster');
    const disturb = (key: string): Promise<void> => moveSlotOf(started, key);
    return { ...clustered(servers, started), disturb };
  },

  'a cluster whose slot moves, with a user with the least rights': async (servers) => {
    const started = await cluster(servers, 'rights');
    const rights = await documentedRights('holdfast', '', true);
    const rules = ['reset', 'on', `>${PASSWORD}`, ...rights];
    for (const master of started.masters) {
      await started.command(master, 'ACL', 'SETUSER', 'locks', ...rules);
    }
    const user = { username: 'locks', password: PASSWORD };
    const disturb = (key: string): Promise<void> => moveSlotOf(started, key);
    return { ...clustered(servers, started, user, {}), disturb };
  },

  'a sharded server behind a plain client': async (servers) => {
    const started = await startRedisCluster(redisBinary(), 1);
    const [server] = servers.onEnd(started).masters as [TestServer];
    return single(servers, server, {});
  },

  'a replica that is promoted under a client': async (servers) => {
    const { primary, replica } = await startReplicated(redisBinary());
    servers.onEnd(primary);
    servers.onEnd(replica);
    let { port } = primary;
    const { host } = primary;
    const proxy = servers.onEnd(
      await startProxy({
        host,
        get port() {
          return port;
        },
      }),
    );
    const promote = async (): Promise<void> => {
      // Writes wait until the replica has all of them.
      await redisCommand(primary, 'FAILOVER', 'TO', replica.host, String(replica.port));
      const role = (): Promise<string> => redisCommand(replica, 'INFO', 'replication');
      while (!(await role()).includes('role:master')) await sleep(10);
      ({ port } = replica);
      proxy.cutAll();
    };
    return {
      ...single(servers, { host: proxy.host, port: proxy.port }, {}),
      disturb: () => servers.once('promoted', promote),
    };
  },
};
