import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedisCluster, type TestCluster } from '@holdfast/test-servers';
import { Cluster } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { canShard } from '../src/connection/client.ts';
import { until, waiting } from './site.ts';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

async function start(args: readonly string[] = []): Promise<TestCluster> {
  const cluster = await startRedisCluster(redisBinary(), 3, args);
  endings.push(() => cluster.stop());
  return cluster;
}

function connect(cluster: TestCluster): { client: Cluster; locker: Locker } {
  const client = new Cluster(cluster.masters.map(({ host, port }) => ({ host, port })));
  const locker = createLocker({ store: redisStore(client) });
  endings.push(
    () => client.disconnect(),
    () => locker.close(),
  );
  return { client, locker };
}

/** Passes a lock from one locker to the other, for keys of all nodes. */
async function passOn(holder: Locker, other: Locker): Promise<void> {
  for (let index = 0; index < 12; index++) {
    const lock = await holder.lock(`key:${index}`);
    const { taken } = await waiting(other, () => other.lock(`key:${index}`));
    await lock.release();
    await (await taken).release();
  }
}

const count = async (client: Cluster, ...command: [string, ...string[]]): Promise<number> => {
  const nodes = client.nodes('master');
  const channels = await Promise.all(nodes.map((node) => node.call(...command)));
  return (channels as string[][]).flat().length;
};

test('a wake-up goes by the channel of its slot, where client and server have that', async () => {
  const cluster = await start();
  const [{ client, locker: holder }, { locker: other }] = [connect(cluster), connect(cluster)];
  await passOn(holder, other);
  const open = await count(client, 'PUBSUB', 'SHARDCHANNELS', '*:*');
  expect(open > 0).toBe(canShard(client));
  // What is told to a locker, not to a lock, goes by its inbox.
  expect(await count(client, 'PUBSUB', 'CHANNELS', 'holdfast:inbox:*')).toBeGreaterThan(0);
  await other.close();
  await holder.close();
  await until('all are closed', async () => {
    const left = await count(client, 'PUBSUB', 'SHARDCHANNELS', '*');
    return left + (await count(client, 'PUBSUB', 'CHANNELS', 'holdfast:*')) === 0;
  });
}, 60_000);

test('and by the inbox on a server that has none, as before Redis 7', async () => {
  const none = ['SSUBSCRIBE', 'SUNSUBSCRIBE', 'SPUBLISH'];
  const cluster = await start(none.flatMap((command) => ['--rename-command', command, '']));
  const [{ client, locker: holder }, { locker: other }] = [connect(cluster), connect(cluster)];
  await passOn(holder, other);
  expect(await count(client, 'PUBSUB', 'SHARDCHANNELS', '*')).toBe(0);
}, 60_000);

test('a node that is gone and comes back is an outage of its locks only', async () => {
  const cluster = await start(['--cluster-require-full-coverage', 'no']);
  const { locker } = connect(cluster);
  const keys = Array.from({ length: 30 }, (_, index) => `key:${index}`);
  const locks = await Promise.all(keys.map((key) => locker.lock(key)));
  cluster.masters[0]?.freeze();
  const results = await Promise.all(
    locks.map((lock) =>
      lock.extend().then(
        () => 'extended',
        () => 'failed',
      ),
    ),
  );
  expect(new Set(results)).toEqual(new Set(['extended', 'failed']));
  expect(new Set(locks.map(({ state }) => state))).toEqual(new Set(['held']));
  cluster.masters[0]?.thaw();
  await Promise.all(locks.map((lock) => lock.extend().catch(() => lock.extend())));
  const freed = await Promise.all(locks.map((lock) => lock.release()));
  expect(new Set(freed)).toEqual(new Set([true]));
}, 60_000);
