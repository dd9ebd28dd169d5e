import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis, startSentinel, type TestServer } from './servers.ts';

/** How long servers may take to agree. */
const PATIENCE = 30_000;

type Address = Pick<TestServer, 'host' | 'port'>;

/** Sends one command and resolves with the raw reply; for servers that no client is connected to. */
export async function redisCommand(address: Address, ...words: string[]): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const reply = await ask(address, words);
    if (reply?.startsWith('-') === true) throw new Error(`${words.join(' ')}: ${reply.trim()}`);
    if (reply !== undefined) return reply;
    if (attempt === 3) throw new Error(`${words.join(' ')}: no reply`);
  }
}

/** The reply; none if the connection ends, as Sentinel has it when it makes a replica the primary. */
async function ask({ host, port }: Address, words: string[]): Promise<string | undefined> {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return new Promise((resolve, reject) => {
    let reply = '';
    const socket = connect(port, host);
    socket.on('data', (chunk: Buffer) => {
      reply += chunk.toString();
      const bulk = /^\$(\d+)\r\n/.exec(reply);
      const whole = bulk === null ? 2 : bulk[0].length + Number(bulk[1]) + 2;
      if (!reply.endsWith('\r\n') || reply.length < whole) return;
      resolve(reply);
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.syscall === 'connect') reject(error);
    });
    // Also after an error: whether a connection is ended or reset is chance.
    socket.on('close', () => resolve(undefined));
    socket.write(`*${words.length}\r\n${parts.join('')}`);
  });
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`Not within ${PATIENCE} ms: ${what}`);
    await sleep(25);
  }
}

/** A Redis Cluster. */
export interface TestCluster {
  /** Each has an equal part of the slots. */
  readonly masters: readonly TestServer[];
  stop(): Promise<void>;
}

/** Starts a Redis Cluster of so many masters, without replicas. */
export async function startRedisCluster(
  binary: string,
  count = 3,
  more: readonly string[] = [],
): Promise<TestCluster> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', ...more];
  const masters = await Promise.all(
    Array.from({ length: count }, () => startRedis(binary, { args })),
  );
  const [first] = masters as [TestServer];
  for (const [index, master] of masters.entries()) {
    const from = Math.floor((index * 16_384) / count);
    const to = Math.floor(((index + 1) * 16_384) / count) - 1;
    await redisCommand(master, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
    // Joining nodes must not start with the same epoch, or they argue about it.
    await redisCommand(master, 'CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
    if (index > 0) await redisCommand(master, 'CLUSTER', 'MEET', first.host, String(first.port));
  }
  await until('all masters know the cluster', async () => {
    const infos = await Promise.all(masters.map((one) => redisCommand(one, 'CLUSTER', 'INFO')));
    const known = `cluster_known_nodes:${count}\r`;
    return infos.every((info) => info.includes('cluster_state:ok') && info.includes(known));
  });
  const stop = async (): Promise<void> => {
    await Promise.all(masters.map((master) => master.stop()));
  };
  return { masters, stop };
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

export async function startRedisSentinel(binary: string): Promise<TestSentinel> {
  const name = 'holdfast';
  const primary = await startRedis(binary);
  const replica = await startRedis(binary, {
    args: ['--replicaof', primary.host, String(primary.port), '--repl-diskless-sync-delay', '0'],
  });
  await until('the replica is in step', async () =>
    (await redisCommand(replica, 'INFO', 'replication')).includes('master_link_status:up'),
  );
  const sentinel = await startSentinel(binary, [
    `sentinel monitor ${name} ${primary.host} ${primary.port} 1`,
    `sentinel down-after-milliseconds ${name} 700`,
    `sentinel failover-timeout ${name} 3000`,
    `sentinel parallel-syncs ${name} 1`,
  ]);
  const stop = async (): Promise<void> => {
    await Promise.all([sentinel, replica, primary].map((server) => server.stop()));
  };
  const primaryPort = async (): Promise<number> => {
    const reply = await redisCommand(sentinel, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name);
    return Number(/\$\d+\r\n(\d+)\r\n$/.exec(reply)?.[1]);
  };
  await until('the Sentinel knows the replica', async () =>
    (await redisCommand(sentinel, 'SENTINEL', 'REPLICAS', name)).includes(String(replica.port)),
  );
  const { host, port } = sentinel;
  return { name, host, port, servers: [primary, replica], primaryPort, stop };
}
