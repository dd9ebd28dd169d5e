import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  howToGet,
  MEMCACHED,
  memcachedBinary,
  REDIS,
  redisBinary,
  startMemcached,
  startRedis,
  useMemcached,
  useRedis,
  type TestServer,
} from '../src/index.ts';

async function ask(address: string, question: string): Promise<string> {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.write(question);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString();
}

describe('servers for tests', () => {
  const redis = useRedis();
  const memcached = useMemcached();

  test('start real processes', async () => {
    expect(await ask(redis.url, 'PING\r\n')).toBe('+PONG\r\n');
    expect(await ask(`tcp://${memcached.servers.split(',')[0]}`, 'version\r\n')).toMatch(
      /^VERSION/,
    );
  });

  test('name every way to get a binary that is missing', () => {
    const text = howToGet([REDIS, MEMCACHED]);
    for (const way of ['apt-get', 'brew', 'docker', 'REDIS_URL=', 'MEMCACHED_SERVERS=']) {
      expect(text).toContain(way);
    }
  });

  test.for([
    ['Redis', () => startRedis(redisBinary()), 'PING\r\n'],
    ['memcached', () => startMemcached(memcachedBinary()), 'version\r\n'],
  ] satisfies [string, () => Promise<TestServer>, string][])(
    'a %s that was killed is revived where it was',
    async ([, start, question]) => {
      const server = await start();
      const address = `tcp://${server.host}:${server.port}`;
      const { pid } = server;
      await server.kill();
      await server.revive();
      expect(server.pid).not.toBe(pid);
      expect(await ask(address, question)).toMatch(/^\+PONG|^VERSION/);
      await server.stop();
    },
  );
});
