import { setTimeout as sleep } from 'node:timers/promises';
import { redisCommand, startRedis } from '@holdfast/test-servers';
import { redisBinary } from './binaries.ts';
import { connectionFaults } from './connections.ts';
import { behindProxies, leftOn } from './redis-servers.ts';
import { DURABLE, REDIS_CLIENTS, type TopologyKind } from './topology.ts';

/** Three servers that know nothing of each other, each of which keeps what it has acknowledged. */
export const quorum: TopologyKind = {
  libraries: REDIS_CLIENTS,
  ttl: 2_000,
  several: false,
  fenced: false,

  async start({ library, random }) {
    const binary = await redisBinary();
    const servers = await Promise.all([1, 2, 3].map(() => startRedis(binary, { args: DURABLE })));
    const { proxies } = await behindProxies(servers);
    return {
      place: { kind: 'quorum', library, ports: proxies.map(({ port }) => port) },
      connections: connectionFaults(proxies, random),
      servers: {
        'a minority is frozen': async () => {
          const server = random.pick(servers);
          server.freeze();
          await sleep(random.between(100, 4_000));
          server.thaw();
        },
        'a minority is killed and restarted': async () => {
          const server = random.pick(servers);
          await server.kill();
          await sleep(random.between(0, 3_000));
          await server.revive();
        },
        'all servers are frozen': async () => {
          for (const server of servers) server.freeze();
          await sleep(random.between(50, 1_000));
          for (const server of servers) server.thaw();
        },
        'a server forgets its scripts': () => redisCommand(random.pick(servers), 'SCRIPT', 'FLUSH'),
      },
      heal: () => {
        for (const proxy of proxies) proxy.heal();
      },
      leftovers: async () => (await Promise.all(servers.map(leftOn))).flat(),
      stop: async () => {
        for (const proxy of proxies) await proxy.stop();
        for (const server of servers) await server.stop();
      },
    };
  },
};
