import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import {
  redisBinary,
  redisCommand,
  startRedisSentinel,
  type TestSentinel,
} from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fails, until, waiting } from './site.ts';

let sentinel: TestSentinel;
const endings: (() => unknown)[] = [];
beforeEach(async () => {
  sentinel = await startRedisSentinel(redisBinary());
}, 60_000);
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
  await sentinel.stop();
});

/** As in a process of its own. */
function locker(ttl: number): Locker {
  const { host, port, name } = sentinel;
  const client = new Redis({ sentinels: [{ host, port }], name });
  client.on('error', () => {});
  const made = createLocker({ store: redisStore(client), ttl });
  endings.push(
    () => client.disconnect(),
    () => made.close(),
  );
  return made;
}

async function failOver(): Promise<void> {
  const [primary, replica] = sentinel.servers;
  await primary.kill();
  await until(
    'the replica is the primary',
    async () => {
      const info = await redisCommand(replica, 'INFO', 'replication');
      return info.includes('role:master') && (await sentinel.primaryPort()) === replica.port;
    },
    40_000,
  );
}

test('a lock that was replicated is still held after a failover, and passed on', async () => {
  const [holder, other] = [locker(30_000), locker(30_000)];
  const lock = await holder.lock('key');
  const { taken } = await waiting(other, () => other.lock('key'));
  const [primary] = sentinel.servers;
  await until('it is replicated', async () =>
    (await redisCommand(primary, 'WAIT', '1', '1000')).startsWith(':1'),
  );
  await failOver();
  // Until the client has found the new primary.
  await until('it is renewed', async () => (await fails(lock.extend())).error === undefined);
  expect(lock.state).toBe('held');
  expect(await lock.release()).toBe(true);
  const next = await taken;
  expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
  await next.extend();
  expect(await next.release()).toBe(true);
}, 90_000);

test('a lock that was lost in a failover is told to its holder, and who waits gets it', async () => {
  const [holder, other] = [locker(30_000), locker(30_000)];
  const lock = await holder.lock('key');
  const { taken } = await waiting(other, () => other.lock('key'));
  await failOver();
  // As if nothing had been replicated.
  await redisCommand(sentinel.servers[1], 'FLUSHALL');
  const next = await taken;
  await until('the holder is told', () => lock.state === 'lost', 40_000);
  expect(lock.signal.reason).toMatchObject({ reason: expect.stringMatching(/evicted|stolen/) });
  expect(next.state).toBe('held');
  expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
  expect(await lock.release()).toBe(false);
  await next.extend();
}, 90_000);
