import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { howToGet, MEMCACHED, REDIS, useMemcached, useRedis } from '../src/index.ts';

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
});
