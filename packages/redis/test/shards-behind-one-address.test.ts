import { setTimeout as sleep } from 'node:timers/promises';
import { redisBinary, startRedis } from '@holdfast/test-servers';
import { expect } from 'vitest';
import { test, until, type Site } from './site.ts';

/** A plain client of a cluster of one node: a managed proxy looks the same. */
async function clusterOfOne(site: Site) {
  const server = await startRedis(redisBinary(), { args: ['--cluster-enabled', 'yes'] });
  const client = site.admin.duplicate({ port: server.port, keyPrefix: 'app:' });
  client.on('error', () => {});
  site.onEnd(() => server.stop());
  site.onEnd(() => client.disconnect());
  await client.cluster('ADDSLOTSRANGE', 0, 16_383);
  await until('the cluster is up', async () =>
    (await client.cluster('INFO')).includes('cluster_state:ok'),
  );
  return client;
}

test('shards behind the address of a plain client are asked one by one', async ({ site }) => {
  const client = await clusterOfOne(site);
  const locker = site.locker({ ttl: 1_200 }, client);
  const errors: unknown[] = [];
  locker.on('store-error', ({ error }) => errors.push(error));
  // Taken together, renewed together, released together.
  const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`);
  const locks = await Promise.all(keys.map((key) => locker.lock(key)));
  let renewed = 0;
  locker.on('renewed', () => (renewed += 1));
  await until('all are renewed again and again', () => renewed >= 40 * 5);
  await sleep(0);
  expect(locks.map(({ state }) => state)).toEqual(keys.map(() => 'held'));
  expect(await Promise.all(locks.map((lock) => lock.release()))).toEqual(keys.map(() => true));
  expect(errors).toEqual([]);
  // It is remembered: only the first request of each kind can have been in vain.
  const stats = await client.info('errorstats');
  expect(Number(/CROSSSLOT:count=(\d+)/.exec(stats)?.[1])).toBeLessThanOrEqual(4);
});
