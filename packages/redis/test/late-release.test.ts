import { useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ioredisPort } from '../src/connection/ioredis.ts';
import type { ClientPort } from '../src/connection/port.ts';
import { RedisNode } from '../src/quorum/redis-node.ts';

const server = useRedis();
let client: Redis;
let node: RedisNode;

beforeAll(() => {
  client = new Redis(server.url);
  node = new RedisNode(ioredisPort(client) as ClientPort, {
    now: () => performance.now(),
    setTimeout: (callback, ms) => setTimeout(callback, ms),
    clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
    random: () => Math.random(),
  });
});
afterAll(() => client.disconnect());

const grant = { id: 'id', owner: 'id', label: '-', ttl: 60_000 };

// A quorum asks for a lock again under the same id; what it sent on a connection that was lost may arrive
// behind what it sent on the next one.
test('a release that comes late ends no later grant of the same acquisition', async () => {
  const key = 'late:released';
  await node.acquire({ ...grant, key, attempt: 1 });
  expect(await node.release(key, 'id', undefined, 1)).toBe(true);
  await node.acquire({ ...grant, key, attempt: 2 });
  expect(await node.release(key, 'id', undefined, 1)).toBe(false);
  expect(await node.inspect(key)).toMatchObject({ owner: 'id' });
  expect(await node.release(key, 'id', undefined, 2)).toBe(true);
  expect(await node.inspect(key)).toBeNull();
});

test('a release that comes late ends no grant that was asked for again meanwhile', async () => {
  const key = 'late:asked-again';
  await node.acquire({ ...grant, key, attempt: 1 });
  await node.acquire({ ...grant, key, attempt: 2 });
  expect(await node.release(key, 'id', 500, 1)).toBe(false);
  expect(await node.release(key, 'id', undefined, 2)).toBe(true);
});

test('a release of whoever does not know the attempt ends the grant', async () => {
  const key = 'late:unknown';
  await node.acquire({ ...grant, key, attempt: 7 });
  expect(await node.release(key, 'id', undefined, undefined)).toBe(true);
});
