import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startProxy, startRedis, type TestServer } from '@holdfast/test-servers';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { clientOf } from './quorum-kit.ts';

let primary: TestServer;
let replica: TestServer;
const endings: (() => unknown)[] = [];

beforeEach(async () => {
  primary = await startRedis(redisBinary(), { args: ['--repl-diskless-sync-delay', '0'] });
  const args = ['--replicaof', primary.host, String(primary.port)];
  replica = await startRedis(redisBinary(), { args });
  const admin = clientOf(primary);
  endings.push(() => admin.disconnect());
  await vi.waitFor(
    async () => expect(await admin.info('replication')).toContain('connected_slaves:1'),
    { timeout: 30_000 },
  );
});
afterEach(async () => {
  replica.thaw();
  for (const end of endings.splice(0).toReversed()) await end();
  await Promise.all([replica.stop(), primary.stop()]);
});

test('an attempt that the replica confirms is not undone by one before it that it did not', async () => {
  const proxy = await startProxy(primary);
  endings.push(() => proxy.stop());
  const waiting = clientOf(primary);
  const { host, port } = proxy;
  // The connection of the application is slow; that which waits for the replicas is not.
  const client = waiting.duplicate({ host, port });
  client.on('error', () => {});
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (override) =>
    duplicate({ ...override, host: primary.host, port: primary.port });
  const store = redisStore(client, { durability: { minReplicas: 1, timeout: 400 } });
  const holder = createLocker({ store, ttl: 60_000, storeTimeout: 350 });
  const other = createLocker({ store: redisStore(waiting), ttl: 60_000 });
  endings.push(async () => {
    await Promise.all([holder.close(), other.close()]);
    client.disconnect();
    waiting.disconnect();
  });
  await holder.withLock('key', () => {});
  for (let round = 0; round < 3; round++) {
    replica.freeze();
    // Requests of the application's connection are slow, so a release that follows a failure is late.
    proxy.delayRequests(100);
    const taken = holder.lock('key', { wait: 20_000 });
    // After the first attempt was given up, and its wait for the replica has failed.
    setTimeout(() => replica.thaw(), 600);
    const lock = await taken;
    const rival = other.tryLock('key');
    for (let look = 0; look < 40; look++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      lock.assertHeld();
      expect(await other.tryLock('key')).toBeNull();
    }
    expect(await rival).toBeNull();
    proxy.heal();
    expect(await lock.release()).toBe(true);
  }
});
