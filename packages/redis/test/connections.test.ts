import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedis, type TestServer } from '@holdfast/test-servers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bench, connections } from './kit.ts';
import { lingering } from './lingering.ts';
import { useProgram } from './program.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startRedis(redisBinary());
});
afterAll(() => server.stop());
const program = useProgram('hold-and-leave');
const bench = new Bench(() => `redis://${server.host}:${server.port}`);

test("locks that nobody waits for need no connection but the user's", async () => {
  const admin = bench.client();
  const locker = bench.locker();
  for (let round = 0; round < 20; round++) await locker.withLock('connections:free', () => {});
  expect(await connections(admin)).toHaveLength(1);
});

test('the first wait opens one connection, and the last locker closes it', async () => {
  const admin = bench.client();
  const client = bench.client();
  const store = redisStore(client);
  const lockers = [createLocker({ store }), createLocker({ store })] as const;
  const [first, second] = lockers;
  for (const key of ['connections:a', 'connections:b']) {
    const lock = await first.lock(key);
    const waiting = second.lock(key);
    await new Promise((resolve) => second.on('waiting', resolve));
    await expect.poll(async () => (await connections(admin)).length).toBe(2);
    await lock.release();
    await (await waiting).release();
  }
  expect(await admin.pubsub('CHANNELS', 'holdfast:*')).toHaveLength(1);
  await first.close();
  expect(await connections(admin)).toHaveLength(2);
  await second.close();
  await expect.poll(async () => (await connections(admin)).length).toBe(1);
  expect(client.status).toBe('ready');
  expect(await admin.pubsub('CHANNELS', 'holdfast:*')).toEqual([]);
});

test('many stores may share a client, and leave no listeners on it', async () => {
  const client = bench.client();
  const counts = (): number[] =>
    ['close', 'ready', 'end'].map((event) => client.listenerCount(event));
  const before = counts();
  const lockers = Array.from({ length: 12 }, () => createLocker({ store: redisStore(client) }));
  for (const locker of lockers) await locker.withLock('connections:shared', () => {});
  expect(counts()).toEqual(before.map((count) => count + 1));
  const [first, ...others] = lockers;
  for (const locker of others) await locker.close();
  expect(counts()).toEqual(before.map((count) => count + 1));
  await first?.close();
  expect(counts()).toEqual(before);
  // And again, for a store that is used anew.
  const locker = createLocker({ store: redisStore(client) });
  const lock = await locker.lock('connections:shared');
  expect(counts()).toEqual(before.map((count) => count + 1));
  await lock.release();
  await locker.close();
});

test('a lock that is held for a while opens it too, to be told of a loss', async () => {
  const admin = bench.client();
  const locker = bench.locker(undefined, { ttl: 60_000 });
  const lock = await locker.lock('connections:held');
  await expect.poll(async () => (await connections(admin)).length).toBe(2);
  await lock.release();
});

test('a connection that is cut is opened again', async () => {
  const admin = bench.client();
  const locker = bench.locker(undefined, { ttl: 60_000 });
  const lock = await locker.lock('connections:cut');
  const subscribers = async (): Promise<number> =>
    ((await admin.pubsub('CHANNELS', 'holdfast:*')) as string[]).length;
  await expect.poll(subscribers).toBe(1);
  await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await expect.poll(subscribers).toBe(1);
  await bench.locker().forceRelease('connections:cut');
  await expect.poll(() => lock.state).toBe('lost');
});

test('when the user ends the client, our connection ends with it', async () => {
  const admin = bench.client();
  const client = bench.client();
  const locker = bench.locker(client);
  await locker.lock('connections:ended');
  await expect.poll(async () => (await connections(admin)).length).toBe(2);
  await client.quit();
  await expect.poll(async () => (await connections(admin)).length).toBe(0);
  await expect(locker.lock('connections:other')).rejects.toMatchObject({
    code: 'LOCK_STORE_UNAVAILABLE',
    permanent: true,
  });
});

test.each(['close', 'quit'])(
  'nothing keeps a process alive after %s',
  async (how) => {
    const url = `redis://${server.host}:${server.port}`;
    expect(await lingering(program.file, [url, how])).toBeLessThan(20_000);
  },
  60_000,
);
