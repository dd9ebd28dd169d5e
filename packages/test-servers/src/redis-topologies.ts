import type { TestCertificate } from './certificate.ts';
import { redisCommand, type RedisAddress } from './redis-command.ts';
import { startRedis, startSentinel, type TestServer } from './servers.ts';
import { until } from './site.ts';

/** How long servers may take to agree. */
const PATIENCE = 30_000;

/** While it cannot be told whether something is so, it is not. */
const agreed = (what: string, condition: () => Promise<boolean>): Promise<void> =>
  until(what, () => condition().catch(() => false), PATIENCE);

/** What servers ask of who connects, and what of each other. */
export interface RedisAccess {
  readonly password?: string | undefined;
  readonly tls?: TestCertificate | undefined;
}

function argsFor({ password, tls }: RedisAccess): string[] {
  const args = password === undefined ? [] : ['--requirepass', password, '--masterauth', password];
  if (tls === undefined) return args;
  const files = ['--tls-cert-file', tls.certFile, '--tls-key-file', tls.keyFile];
  const trust = ['--tls-ca-cert-file', tls.caFile, '--tls-auth-clients', 'no'];
  return [...args, ...files, ...trust, '--tls-replication', 'yes'];
}

const addressOf = ({ host, port }: TestServer, { password, tls }: RedisAccess): RedisAddress => ({
  host,
  port,
  password,
  ca: tls?.ca,
});

/** Starts a Redis that asks for a password or speaks TLS, and nothing else. */
export function startRedisWith(
  binary: string,
  access: RedisAccess,
  args: readonly string[] = [],
): Promise<TestServer> {
  const { tls } = access;
  return startRedis(binary, { args: [...argsFor(access), ...args], tls: tls !== undefined });
}

/** A Redis Cluster. */
export interface TestCluster {
  /** Each has an equal part of the slots. */
  readonly masters: readonly TestServer[];
  /** One for each of the masters, if asked for. */
  readonly replicas: readonly TestServer[];
  /** Sends a command to one of its servers. */
  command(server: TestServer, ...words: string[]): Promise<string>;
  /** Moves a slot, and the keys in it, from the one master to the other. */
  moveSlot(slot: number, from: TestServer, to: TestServer): Promise<void>;
  /** Makes a replica the master of its shard. */
  promote(replica: TestServer): Promise<void>;
  stop(): Promise<void>;
}

/** What {@link startRedisCluster} may be told. */
export interface ClusterOptions extends RedisAccess {
  /** A replica for each master. */
  readonly replicas?: boolean | undefined;
}

/** Starts a Redis Cluster of so many masters. */
export async function startRedisCluster(
  binary: string,
  count = 3,
  more: readonly string[] = [],
  options: ClusterOptions = {},
): Promise<TestCluster> {
  const { tls } = options;
  const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'];
  const args = [...cluster, ...(tls === undefined ? [] : ['--tls-cluster', 'yes']), ...more];
  const start = (): Promise<TestServer> => startRedisWith(binary, options, args);
  const servers = (size: number): Promise<TestServer[]> =>
    Promise.all(Array.from({ length: size }, start));
  const [masters, replicas] = await Promise.all([
    servers(count),
    servers(options.replicas === true ? count : 0),
  ]);
  const all = [...masters, ...replicas];
  const stop = async (): Promise<void> => {
    await Promise.all(all.map((server) => server.stop()));
  };
  const command = (server: TestServer, ...words: string[]): Promise<string> =>
    redisCommand(addressOf(server, options), ...words);
  const idOf = async (server: TestServer): Promise<string> =>
    (await command(server, 'CLUSTER', 'MYID')).split('\r\n')[1] as string;

  const [first] = masters as [TestServer];
  for (const [index, server] of all.entries()) {
    // Joining nodes must not start with the same epoch, or they argue about it.
    await command(server, 'CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
    if (index > 0) await command(server, 'CLUSTER', 'MEET', first.host, String(first.port));
    if (index >= count) continue;
    const from = Math.floor((index * 16_384) / count);
    const to = Math.floor(((index + 1) * 16_384) / count) - 1;
    await command(server, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
  }
  await agreed('all know the cluster', async () => {
    const infos = await Promise.all(all.map((one) => command(one, 'CLUSTER', 'INFO')));
    const known = `cluster_known_nodes:${all.length}\r`;
    return infos.every((info) => info.includes('cluster_state:ok') && info.includes(known));
  });
  for (const [index, replica] of replicas.entries()) {
    const id = await idOf(masters[index] as TestServer);
    await agreed('a master can be followed', async () =>
      (await command(replica, 'CLUSTER', 'REPLICATE', id)).startsWith('+OK'),
    );
  }
  await agreed('the replicas are in step', async () => {
    const infos = await Promise.all(replicas.map((one) => command(one, 'INFO', 'replication')));
    return infos.every((info) => info.includes('master_link_status:up'));
  });

  const moveOne = async (slot: number, from: TestServer, to: TestServer): Promise<void> => {
    const [source, target] = [await idOf(from), await idOf(to)];
    await command(to, 'CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', source);
    await command(from, 'CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', target);
    const keys = async (): Promise<string[]> => {
      const reply = await command(from, 'CLUSTER', 'GETKEYSINSLOT', String(slot), '1');
      return reply.split('\r\n').filter((_, index) => index > 0 && index % 2 === 0);
    };
    for (let [key] = await keys(); key !== undefined && key !== ''; [key] = await keys()) {
      await command(from, 'MIGRATE', to.host, String(to.port), key, '0', '5000');
    }
    await command(to, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', target);
    await command(from, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', target);
  };

  // A server that moves a key waits for the other, also where that waits for it.
  let moved = Promise.resolve();
  const moveSlot = (slot: number, from: TestServer, to: TestServer): Promise<void> => {
    const moving = moved.then(() => moveOne(slot, from, to));
    moved = moving.catch(() => {});
    return moving;
  };

  const promote = async (replica: TestServer): Promise<void> => {
    await agreed('the replica is a master', async () => {
      const info = await command(replica, 'INFO', 'replication');
      if (info.includes('role:master')) return true;
      await command(replica, 'CLUSTER', 'FAILOVER').catch(() => {});
      return false;
    });
  };

  return { masters, replicas, command, moveSlot, promote, stop };
}

/** A primary and a replica, and a Sentinel that watches them. */
export interface TestSentinel {
  readonly name: string;
  /** Of the Sentinel. */
  readonly host: string;
  readonly port: number;
  /** The first is the primary, at first. */
  readonly servers: readonly [TestServer, TestServer];
  /** The port of the primary, as the Sentinel has it. */
  primaryPort(): Promise<number>;
  stop(): Promise<void>;
}

/** What {@link startRedisSentinel} may be told. */
export interface SentinelOptions {
  /** Of the primary and the replica. */
  readonly password?: string | undefined;
  /** Of the Sentinel itself. */
  readonly sentinelPassword?: string | undefined;
}

export async function startRedisSentinel(
  binary: string,
  { password, sentinelPassword }: SentinelOptions = {},
): Promise<TestSentinel> {
  const name = 'holdfast';
  const { primary, replica } = await startReplicated(binary, { password });
  const directives = [
    `sentinel monitor ${name} ${primary.host} ${primary.port} 1`,
    `sentinel down-after-milliseconds ${name} 700`,
    `sentinel failover-timeout ${name} 3000`,
    `sentinel parallel-syncs ${name} 1`,
  ];
  if (password !== undefined) directives.push(`sentinel auth-pass ${name} ${password}`);
  if (sentinelPassword !== undefined) directives.push(`requirepass ${sentinelPassword}`);
  const sentinel = await startSentinel(binary, directives);
  const { host, port } = sentinel;
  const ask = (...words: string[]): Promise<string> =>
    redisCommand({ host, port, password: sentinelPassword }, 'SENTINEL', ...words);
  const stop = async (): Promise<void> => {
    await Promise.all([sentinel, replica, primary].map((server) => server.stop()));
  };
  const primaryPort = async (): Promise<number> => {
    const reply = await ask('GET-MASTER-ADDR-BY-NAME', name);
    return Number(/\$\d+\r\n(\d+)\r\n$/.exec(reply)?.[1]);
  };
  await agreed('the Sentinel knows the replica', async () =>
    (await ask('REPLICAS', name)).includes(String(replica.port)),
  );
  return { name, host, port, servers: [primary, replica], primaryPort, stop };
}

/** Starts a primary and a replica that is in step with it. */
export async function startReplicated(
  binary: string,
  access: RedisAccess = {},
): Promise<{ readonly primary: TestServer; readonly replica: TestServer }> {
  const primary = await startRedisWith(binary, access);
  const follow = ['--replicaof', primary.host, String(primary.port)];
  const atOnce = ['--repl-diskless-sync-delay', '0'];
  const replica = await startRedisWith(binary, access, [...follow, ...atOnce]);
  const replication = (server: TestServer): Promise<string> =>
    redisCommand(addressOf(server, access), 'INFO', 'replication');
  await agreed('the replica is in step', async () =>
    (await replication(replica)).includes('master_link_status:up'),
  );
  await agreed('the primary knows that', async () =>
    (await replication(primary)).includes('state=online'),
  );
  return { primary, replica };
}
