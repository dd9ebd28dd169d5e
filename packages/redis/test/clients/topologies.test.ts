import { createLocker, type Locker } from '@holdfast/core';
import { redisQuorum, redisScripts, redisStore } from '@holdfast/redis';
import { redisBinary, redisCommand, startRedis, startRedisSentinel } from '@holdfast/test-servers';
import { describe, expect, test } from 'vitest';
import { fails, until, waiting } from '../site.ts';
import { clientKind } from './index.ts';

// Several servers of which one goes, by whichever client.

const { name } = clientKind;

test(`a quorum of three servers outlives one of them, with ${name}`, async () => {
  const all = await Promise.all([1, 2, 3].map(() => startRedis(redisBinary())));
  const clients = await Promise.all(all.map(({ host, port }) => clientKind.single({ host, port })));
  // All are connected: else the first lock may be with two of them, and one of these be the one that goes.
  await Promise.all(clients.map(({ client }) => redisScripts(client).eval('return 1', 0, [])));
  const store = redisQuorum(
    clients.map(({ client }) => client),
    { nodeTimeout: 5_000 },
  );
  // A client may go on trying for a server that is gone, until its node is given up.
  const locker = createLocker({ store, ttl: 60_000, storeTimeout: 20_000 });
  try {
    const first = await locker.lock('key');
    await all[0]?.kill();
    await first.extend();
    expect(await first.release()).toBe(true);
    const second = await locker.lock('key', { wait: 30_000 });
    expect(await createLocker({ store }).tryLock('key')).toBeNull();
    expect(await second.release()).toBe(true);
  } finally {
    await locker.close();
    for (const made of clients) await made.close();
    for (const server of all) await server.stop();
  }
});

const hasSentinel = !('Sentinel with passwords on both' in clientKind.cannot);

// A client that has none says so in the matrix of environments.
describe.runIf(hasSentinel)(`behind a Sentinel, with ${name}`, () => {
  test('a lock that was replicated is still held after a failover, and passed on', async () => {
    const sentinel = await startRedisSentinel(redisBinary());
    const { host, port, name: primaryName } = sentinel;
    const made = await Promise.all(
      [1, 2].map(() => clientKind.sentinel({ host, port, name: primaryName })),
    );
    const [holder, other] = made.map(({ client }) =>
      createLocker({ store: redisStore(client), ttl: 30_000 }),
    ) as [Locker, Locker];
    try {
      const lock = await holder.lock('key');
      const { taken } = await waiting(other, () => other.lock('key'));
      const [primary, replica] = sentinel.servers;
      await until('it is replicated', async () =>
        (await redisCommand(primary, 'WAIT', '1', '1000')).startsWith(':1'),
      );
      await primary.kill();
      await until(
        'the replica is the primary',
        async () => (await sentinel.primaryPort()) === replica.port,
        40_000,
      );
      await until(
        'it is renewed',
        async () => (await fails(lock.extend())).error === undefined,
        40_000,
      );
      expect(lock.state).toBe('held');
      expect(await lock.release()).toBe(true);
      const next = await taken;
      expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
      await next.extend();
      expect(await next.release()).toBe(true);
    } finally {
      for (const locker of [holder, other]) await locker.close();
      for (const one of made) await one.close();
      await sentinel.stop();
    }
  }, 120_000);
});
