import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedisCluster, startReplicated } from '@holdfast/test-servers';
import { Cluster, Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { until } from './site.ts';

// The connections on which grants wait for replicas.

const DURABILITY = { minReplicas: 1, timeout: 2_000 };

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

test('find every master of a cluster behind natMap', async () => {
  const kind = ['--cluster-preferred-endpoint-type', 'hostname'];
  const cluster = await startRedisCluster(
    redisBinary(),
    3,
    [...kind, '--cluster-announce-hostname', 'redis.invalid'],
    { replicas: true },
  );
  endings.push(() => cluster.stop());
  const all = [...cluster.masters, ...cluster.replicas];
  const client = new Cluster(
    cluster.masters.map(({ host, port }) => ({ host, port })),
    {
      natMap: Object.fromEntries(
        all.map(({ host, port }) => [`redis.invalid:${port}`, { host, port }]),
      ),
    },
  );
  endings.push(() => client.disconnect());
  const locker = createLocker({
    store: redisStore(client, { durability: DURABILITY }),
    ttl: 20_000,
  });
  endings.push(() => locker.close());
  const keys = Array.from({ length: 12 }, (_, index) => `key:${index}`);
  const locks = await Promise.allSettled(keys.map((key) => locker.lock(key, { wait: 0 })));
  expect(locks.filter(({ status }) => status === 'rejected')).toEqual([]);
}, 60_000);

test('have the password that the client has by then', async () => {
  const { primary, replica } = await startReplicated(redisBinary(), { password: 'before' });
  endings.push(
    () => primary.stop(),
    () => replica.stop(),
  );
  const { host, port } = primary;
  const client = new Redis({ host, port, password: 'before' });
  endings.push(() => client.disconnect());
  const locker = createLocker({
    store: redisStore(client, { durability: DURABILITY }),
    ttl: 20_000,
  });
  endings.push(() => locker.close());
  await locker.withLock('key', () => {});
  await client.config('SET', 'requirepass', 'after');
  client.options.password = 'after';
  const others = async (): Promise<string[]> => {
    const own = `id=${await client.client('ID')} `;
    const list = (await client.call('CLIENT', 'LIST', 'TYPE', 'normal')) as string;
    return list.split('\n').filter((line) => line !== '' && !line.startsWith(own));
  };
  for (const line of await others()) {
    const [, id = ''] = /^id=(\d+)/.exec(line) ?? [];
    await client.call('CLIENT', 'KILL', 'ID', id);
  }
  await until('the grant is confirmed', async () =>
    locker.withLock('key', { wait: 0 }, () => true).catch(() => false),
  );
});
