import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startMemcached, type TestServer } from '@holdfast/test-servers';
import { machineNow } from '../events.ts';
import { memcachedBinary } from './binaries.ts';
import { connectionFaults } from './connections.ts';
import { behindProxies } from './redis-servers.ts';
import type { TopologyKind } from './topology.ts';

/** Sends a command of the text protocol. */
async function command({ host, port }: TestServer, text: string): Promise<string> {
  const socket = connect(port, host);
  socket.write(`${text}\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString();
}

/**
 * It looks at the clock once a second, in ms: what it is told right after it stood still ends sooner, by as
 * long as it did.
 */
const TICK = 1_100;

/** Best effort: what a server that forgets its locks may cost is counted apart. */
export const memcached: TopologyKind = {
  libraries: ['memjs'],
  ttl: 2_000,
  several: false,
  fenced: false,

  async start({ random, tell }) {
    const server = await startMemcached(await memcachedBinary());
    const { proxies } = await behindProxies([server]);
    const [proxy] = proxies as [(typeof proxies)[0]];
    const forgets = async (why: string, act: () => Promise<unknown>): Promise<void> => {
      const from = machineNow();
      await act();
      tell({ what: 'forgot', why, from, at: machineNow() });
    };
    return {
      place: { kind: 'memcached', port: proxy.port },
      connections: connectionFaults(proxies, random),
      servers: {
        'the server is killed and restarted, empty': () =>
          forgets('a restart', async () => {
            await server.kill();
            await sleep(random.between(0, 800));
            await server.revive();
          }),
        'the server is flushed': () => forgets('a flush', () => command(server, 'flush_all')),
        'the server is frozen': async () => {
          const from = machineNow();
          server.freeze();
          await sleep(random.between(100, 1_500));
          server.thaw();
          const at = machineNow() + TICK;
          tell({ what: 'forgot', why: 'a clock that stood still', from, at });
        },
      },
      heal: () => proxy.heal(),
      leftovers: async () => {
        // One that asks, and one that listens.
        const connections = Number(
          /STAT curr_connections (\d+)/.exec(await command(server, 'stats'))?.[1],
        );
        return connections > 2 ? [`${connections - 2} connections are left.`] : [];
      },
      stop: async () => {
        await proxy.stop();
        await server.stop();
      },
    };
  },
};
