import { createLocker, LockStoreError, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import {
  redisBinary,
  redisCommand,
  startReplicated,
  until,
  type TestServer,
} from '@holdfast/test-servers';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clientKind } from './index.ts';

const { name, canWait } = clientKind;

// A client without it says so in its own tests.
describe.runIf(canWait)(`durability, with ${name}`, () => {
  let primary: TestServer;
  let replica: TestServer;
  const endings: (() => unknown)[] = [];

  beforeAll(async () => {
    ({ primary, replica } = await startReplicated(redisBinary()));
  });
  afterEach(async () => {
    replica.thaw();
    for (const end of endings.splice(0).toReversed()) await end();
  });
  afterAll(() => Promise.all([primary, replica].map((server) => server.stop())));

  async function lockerWith(timeout: number): Promise<Locker> {
    const made = await clientKind.single({ host: primary.host, port: primary.port });
    const store = redisStore(made.client, { durability: { minReplicas: 1, timeout } });
    const locker = createLocker({ store, ttl: 120_000 });
    endings.push(
      () => made.close(),
      () => locker.close(),
    );
    return locker;
  }

  /** How many connections have last asked for this command. */
  const connections = async (command: string): Promise<number> =>
    (await redisCommand(primary, 'CLIENT', 'LIST')).split(`cmd=${command} `).length - 1;

  test('a grant counts when a replica has it', async () => {
    const locker = await lockerWith(20_000);
    const locks = await Promise.all(['a', 'b', 'c'].map((key) => locker.lock(key)));
    for (const key of ['a', 'b', 'c']) {
      expect(await redisCommand(replica, 'GET', `{holdfast:${key}}`)).toContain('holdfast:1 held');
    }
    for (const lock of locks) expect(await lock.release()).toBe(true);
  });

  test('a grant that no replica has is refused, and taken back', async () => {
    const locker = await lockerWith(200);
    await locker.withLock('warm-up', () => {});
    replica.freeze();
    const refused = await locker.tryLock('refused').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(LockStoreError);
    expect(String((refused as Error).cause ?? refused)).toMatch(/replicas have the grant/);
    replica.thaw();
    await until('it is free', async () => (await locker.inspect('refused')) === null);
    expect(await (await locker.lock('refused', { wait: 20_000 })).release()).toBe(true);
  });

  test('a script that the server has forgotten is no failure', async () => {
    const locker = await lockerWith(20_000);
    await locker.withLock('key', () => {});
    await redisCommand(primary, 'SCRIPT', 'FLUSH');
    await locker.withLock('key', () => {});
  });

  test('the connection that waits for replicas ends with the last locker', async () => {
    const locker = await lockerWith(20_000);
    await locker.withLock('key', () => {});
    expect(await connections('wait')).toBe(1);
    await locker.close();
    await until('it has ended', async () => (await connections('wait')) === 0);
  });
});
