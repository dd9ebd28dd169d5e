import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { redisBinary, redisCommand, startRedisCluster, startRedisSentinel } from '../src/index.ts';

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
