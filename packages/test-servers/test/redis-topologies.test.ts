import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import {
  makeCertificate,
  redisBinary,
  redisCommand,
  startRedisCluster,
  startRedisSentinel,
  startRedisWith,
} from '../src/index.ts';

test('a cluster serves all its slots', { timeout: 40_000 }, async () => {
  const cluster = await startRedisCluster(redisBinary());
  try {
    for (const master of cluster.masters) {
      const info = await redisCommand(master, 'CLUSTER', 'INFO');
      expect(info).toContain('cluster_slots_ok:16384');
    }
  } finally {
    await cluster.stop();
  }
});

test(
  'a Sentinel makes the replica the primary when that is gone',
  { timeout: 40_000 },
  async () => {
    const sentinel = await startRedisSentinel(redisBinary());
    try {
      const [primary, replica] = sentinel.servers;
      expect(await sentinel.primaryPort()).toBe(primary.port);
      await primary.kill();
      await expect.poll(() => sentinel.primaryPort(), { timeout: 30_000 }).toBe(replica.port);
    } finally {
      await sentinel.stop();
    }
  },
);

const endings: Record<string, (socket: Socket) => unknown> = {
  'is ended': (socket) => socket.end(),
  'is reset': (socket) => socket.resetAndDestroy(),
};

test.for(Object.entries(endings))(
  'a command whose connection %s is sent again',
  async ([, end]) => {
    let connections = 0;
    // As a replica does at the moment in which Sentinel makes it the primary.
    const server = createServer((socket: Socket) => {
      connections += 1;
      const first = connections === 1;
      socket.once('data', () => (first ? end(socket) : socket.write('+PONG\r\n')));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      expect(await redisCommand({ host: '127.0.0.1', port }, 'PING')).toBe('+PONG\r\n');
      expect(connections).toBe(2);
    } finally {
      server.close();
    }
  },
);

test('a server with TLS is trusted by its certificate, and by nothing else', async () => {
  const tls = makeCertificate(['redis.test']);
  const server = await startRedisWith(redisBinary(), { tls, password: 'secret' });
  try {
    const { host, port } = server;
    expect(await redisCommand({ host, port, ca: tls.ca, password: 'secret' }, 'PING')).toBe(
      '+PONG\r\n',
    );
    const other = makeCertificate();
    other.remove();
    const untrusted = { host, port, ca: other.ca, password: 'secret' };
    await expect(redisCommand(untrusted, 'PING')).rejects.toThrow('certificate');
    await expect(redisCommand({ host, port, ca: tls.ca }, 'PING')).rejects.toThrow('NOAUTH');
  } finally {
    await server.stop();
    tls.remove();
  }
});

test('a cluster with a password, TLS and replicas passes a shard to a replica', async () => {
  const tls = makeCertificate();
  const cluster = await startRedisCluster(redisBinary(), 2, [], {
    tls,
    password: 'secret',
    replicas: true,
  });
  try {
    const [replica] = cluster.replicas;
    if (replica === undefined) throw new Error('There is no replica.');
    await cluster.promote(replica);
    expect(await cluster.command(replica, 'INFO', 'replication')).toContain('role:master');
  } finally {
    await cluster.stop();
    tls.remove();
  }
});

test('a slot moves with its keys from one master to another', async () => {
  const cluster = await startRedisCluster(redisBinary(), 2);
  try {
    const [from, to] = cluster.masters;
    if (from === undefined || to === undefined) throw new Error('There are no two masters.');
    // The slot of `{a}` is 15495, that of `{b}` 3300.
    await cluster.command(from, 'SET', '{b}:1', 'one');
    await cluster.command(from, 'SET', '{b}:2', 'two');
    await cluster.moveSlot(3_300, from, to);
    expect(await cluster.command(to, 'GET', '{b}:2')).toContain('two');
    await expect(cluster.command(from, 'GET', '{b}:1')).rejects.toThrow('MOVED');
  } finally {
    await cluster.stop();
  }
});
