import { setTimeout as sleep } from 'node:timers/promises';
import { redisCommand, startRedis } from '@holdfast/test-servers';
import { redisBinary } from './binaries.ts';
import { connectionFaults } from './connections.ts';
import { behindProxies, leftOn } from './redis-servers.ts';
import { DURABLE, REDIS_CLIENTS, type TopologyKind } from './topology.ts';

/** One server, which keeps on disk what it has acknowledged. */
export const single: TopologyKind = {
  libraries: REDIS_CLIENTS,
  ttl: 2_000,
  several: true,
  fenced: true,

  async start({ library, random }) {
    const server = await startRedis(await redisBinary(), { args: DURABLE });
    const { proxies } = await behindProxies([server]);
    const [proxy] = proxies as [(typeof proxies)[0]];
    return {
      place: { kind: 'single', library, port: proxy.port },
      connections: {
        ...connectionFaults(proxies, random),
        'messages are lost': () =>
          redisCommand(server, 'CLIENT', 'KILL', 'TYPE', 'pubsub').catch(() => {}),
      },
      servers: {
        'the server is killed and restarted': async () => {
          await server.kill();
          await sleep(random.between(0, 800));
          await server.revive();
        },
        'the server is frozen': async () => {
          server.freeze();
          await sleep(random.between(100, 1_500));
          server.thaw();
        },
        'the server forgets its scripts': () => redisCommand(server, 'SCRIPT', 'FLUSH'),
      },
      heal: () => proxy.heal(),
      leftovers: () => leftOn(server),
      stop: async () => {
        await proxy.stop();
        await server.stop();
      },
    };
  },
};
