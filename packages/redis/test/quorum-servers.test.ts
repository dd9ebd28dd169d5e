import { createLocker, storedKey, type Locker, type LockerOptions } from '@holdfast/core';
import { redisQuorum, type RedisQuorumOptions } from '@holdfast/redis';
import {
  redisBinary,
  startProxy,
  startRedis,
  type FaultProxy,
  type RedisOptions,
  type TestServer,
} from '@holdfast/test-servers';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { calls } from './kit.ts';
import { clientOf, clientsOf, eventually } from './quorum-kit.ts';

// The worst combinations, on real servers: frozen (SIGSTOP), dead (SIGKILL), slow (behind a proxy).

let endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const ending of endings.splice(0).toReversed()) await ending();
});
beforeEach(() => {
  endings = [];
});

interface Machine {
  readonly host: string;
  readonly port: number;
}

async function start(count = 3, options: RedisOptions = {}): Promise<TestServer[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => startRedis(redisBinary(), options)),
  );
  endings.push(() => Promise.all(servers.map((server) => server.stop())));
  return servers;
}

async function proxied(servers: readonly Machine[]): Promise<FaultProxy[]> {
  const proxies = await Promise.all(servers.map((server) => startProxy(server)));
  endings.push(() => Promise.all(proxies.map((proxy) => proxy.stop())));
  return proxies;
}

/** An address that stays: somebody else may take the port of a server that is gone. */
function behind(place: { readonly server: TestServer }): Machine {
  return {
    host: '127.0.0.1',
    get port() {
      return place.server.port;
    },
  };
}

async function lockerOn(
  machines: readonly Machine[],
  options: LockerOptions & RedisQuorumOptions = {},
): Promise<Locker> {
  const clients = await clientsOf(machines);
  const { nodeTimeout, ...rest } = options;
  const store = redisQuorum(clients, { nodeTimeout });
  const locker = createLocker({ store, ttl: 1_000, ...rest });
  endings.push(async () => {
    await locker.close();
    for (const client of clients) client.disconnect();
  });
  return locker;
}

/** What the servers themselves say of who holds a key. */
async function grants(machines: readonly Machine[], key: string): Promise<(string | null)[]> {
  const clients = await clientsOf(machines);
  const name = `{${storedKey('holdfast', key)}}`;
  const values = await Promise.all(clients.map((client: Redis) => client.get(name)));
  for (const client of clients) client.disconnect();
  return values;
}

async function isFree(machines: readonly Machine[], key: string): Promise<boolean> {
  return (await grants(machines, key)).every((value) => value === null);
}

/** The quickest of several times: the machine may be too busy for some of them. */
async function quickest(run: (round: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  let failed: unknown;
  for (let round = 0; round < 10; round++) {
    const from = performance.now();
    await run(round).then(
      () => times.push(performance.now() - from),
      (error: unknown) => (failed = error),
    );
  }
  if (times.length === 0) throw failed;
  return Math.min(...times);
}

const minorities: Record<string, (server: TestServer, proxy: FaultProxy) => unknown> = {
  dead: (server) => server.kill(),
  frozen: (server) => server.freeze(),
  slow: (_, proxy) => proxy.delayReplies(700),
};

describe.each(Object.entries(minorities))('one of three servers is %s', (_, fault) => {
  test('a lock costs less than 200 ms, free, busy or released', async () => {
    const servers = await start();
    const proxies = await proxied(servers);
    const [locker, other] = [await lockerOn(proxies), await lockerOn(proxies)];
    await fault(servers[2] as TestServer, proxies[2] as FaultProxy);
    const acquired = await quickest(async (round) => {
      const lock = await locker.tryLock(`free-${round}`);
      expect(lock?.state).toBe('held');
    });
    expect(acquired).toBeLessThan(200);
    const lock = await locker.lock('busy', { ttl: 30_000 });
    const refused = await quickest(async () => {
      expect(await other.tryLock('busy')).toBeNull();
    });
    expect(refused).toBeLessThan(200);
    expect(await lock.release()).toBe(true);
    const both = await quickest(async () => {
      expect(await other.tryWithLock('busy', () => 'done')).toMatchObject({ value: 'done' });
    });
    expect(both).toBeLessThan(200);
  });

  test('a vote for somebody else is a matter of 200 ms, and then both settle', async () => {
    const servers = await start();
    const proxies = await proxied(servers);
    const lockers = [await lockerOn(proxies), await lockerOn(proxies)] as const;
    // Held on one of them, by one who is gone: without the third there is no majority.
    const [first] = servers as [TestServer];
    const client = clientOf(first);
    await client.set(
      `{${storedKey('holdfast', 'split')}}`,
      `holdfast:1 held ${Date.now() + 3_000} 3000 0 1 - x - y =`,
      'PX',
      3_000,
    );
    client.disconnect();
    await fault(servers[2] as TestServer, proxies[2] as FaultProxy);
    const refused = await quickest(async () => {
      expect(await lockers[0].tryLock('split')).toBeNull();
    });
    expect(refused).toBeLessThan(200);
    const waited = await Promise.all(
      lockers.map((locker) => locker.withLock('split', { wait: 20_000 }, () => 'done')),
    );
    expect(waited).toEqual(['done', 'done']);
  });

  test('a held lock stays held, also after it was extended', async () => {
    const servers = await start();
    const proxies = await proxied(servers);
    const locker = await lockerOn(proxies, { ttl: 10_000 });
    const lock = await locker.lock('long');
    await fault(servers[0] as TestServer, proxies[0] as FaultProxy);
    let renewed = 0;
    locker.on('renewed', () => (renewed += 1));
    // Three are longer than the lease that it was granted.
    await eventually(() => renewed).toBeGreaterThanOrEqual(3);
    expect(lock.signal.reason).toBeUndefined();
    await lock.extend(30_000);
    expect(lock.remaining).toBeGreaterThan(20_000);
    expect(await lock.release()).toBe(true);
  });
});

test('a majority that is frozen for longer than the ttl grants nothing, and keeps nothing', async () => {
  const servers = await start();
  const locker = await lockerOn(servers, { nodeTimeout: 5_000, storeTimeout: 10_000, ttl: 500 });
  const frozen = servers.slice(1);
  for (const server of frozen) server.freeze();
  const refused = locker.tryLock('late').catch((error: unknown) => error);
  await sleep(1_000);
  for (const server of frozen) server.thaw();
  expect(await refused).toMatchObject({
    code: 'LOCK_STORE_UNAVAILABLE',
    cause: { message: 'The lock was granted too late to be used safely.' },
  });
  await eventually(() => isFree(servers, 'late')).toBe(true);
});

test('a majority that is away is an error, not contention; what the minority granted is undone', async () => {
  const servers = await start();
  const locker = await lockerOn(servers, { ttl: 120_000 });
  for (const server of servers.slice(1)) await server.kill();
  await expect(locker.tryLock('outage')).rejects.toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE' });
  await expect(locker.lock('outage', { wait: 300 })).rejects.toMatchObject({
    code: 'LOCK_STORE_UNAVAILABLE',
  });
  await eventually(() => isFree(servers.slice(0, 1), 'outage')).toBe(true);
});

test('a server that was frozen meanwhile keeps nothing when it is back', async () => {
  const servers = await start();
  const locker = await lockerOn(servers, { ttl: 120_000 });
  await locker.withLock('warm-up', () => {});
  const frozen = servers[2] as TestServer;
  frozen.freeze();
  for (let round = 0; round < 3; round++) await locker.withLock('thaw', () => {});
  frozen.thaw();
  await eventually(() => isFree([frozen], 'thaw')).toBe(true);
});

test('a server that is silent for long is not asked for more', async () => {
  const servers = await start();
  const locker = await lockerOn(servers);
  await locker.withLock('warm-up', () => {});
  const frozen = servers[2] as TestServer;
  frozen.freeze();
  await locker.withLock('silent', () => {});
  await sleep(1_500);
  for (let round = 0; round < 50; round++) await locker.withLock('silent', () => {});
  frozen.thaw();
  const admin = clientOf(frozen);
  await eventually(() => admin.status).toBe('ready');
  expect(await calls(admin)).toBeLessThan(15);
  admin.disconnect();
  await eventually(async () => {
    await locker.withLock('silent', () => {});
    return (await grants([frozen], 'silent'))[0];
  }).toBeNull();
});

test('servers that are away from the start cost little, and too many are an error', async () => {
  const servers = await start(5);
  servers[0]?.freeze();
  await servers[1]?.kill();
  const clients = servers.map((server) => clientOf(server));
  const locker = createLocker({ store: redisQuorum(clients), ttl: 1_000 });
  expect(await locker.tryWithLock('start', () => 'done')).toMatchObject({ value: 'done' });
  await servers[2]?.kill();
  await expect(locker.tryLock('start')).rejects.toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE' });
  await locker.close();
  for (const client of clients) client.disconnect();
});

test('a server that keeps its data and was down for the release frees it when it is back', async () => {
  const servers = await start(3, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  const place = { server: servers[2] as TestServer };
  const [proxy] = await proxied([behind(place)]);
  const machines = [...servers.slice(0, 2), proxy as FaultProxy];
  const locker = await lockerOn(machines, { ttl: 120_000 });
  const down = place.server;
  const client = clientOf(down);
  await eventually(() => client.status).toBe('ready');
  const [, folder] = (await client.config('GET', 'dir')) as [string, string];
  client.disconnect();
  const lock = await locker.lock('owed');
  await eventually(async () => (await grants([down], 'owed'))[0]).toContain('held');
  await down.kill();
  expect(await lock.release()).toBe(true);
  const args = ['--appendonly', 'yes'];
  const back = await startRedis(redisBinary(), { args, folder });
  endings.push(() => back.stop());
  place.server = back;
  await eventually(() => isFree([back], 'owed')).toBe(true);
});

test('servers may be restarted empty, one after the other, while a lock is held', async () => {
  const places = (await start()).map((server) => ({ server }));
  const proxies = await proxied(places.map(behind));
  const locker = await lockerOn(proxies, { ttl: 10_000 });
  const lock = await locker.lock('rolling');
  for (const place of places) {
    await place.server.kill();
    const back = await startRedis(redisBinary());
    endings.push(() => back.stop());
    place.server = back;
    const holds = async (): Promise<boolean> => !(await isFree([back], 'rolling'));
    await eventually(holds).toBe(true);
    expect(lock.signal.reason).toBeUndefined();
  }
  expect(await lock.release()).toBe(true);
  await eventually(() => isFree(proxies, 'rolling')).toBe(true);
});

test('when a majority is killed, the signal fires before the lease is over', async () => {
  const servers = await start();
  const locker = await lockerOn(servers, { ttl: 1_500 });
  const lock = await locker.lock('gone');
  for (const server of servers.slice(1)) await server.kill();
  await eventually(() => lock.signal.aborted).toBe(true);
  expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
  expect(lock.remaining).toBe(0);
});

test('a lost answer leaves nothing behind', async () => {
  const servers = await start();
  const proxies = await proxied(servers);
  const locker = await lockerOn(proxies, { ttl: 120_000 });
  await locker.withLock('warm-up', () => {});
  const [, , third] = proxies as [FaultProxy, FaultProxy, FaultProxy];
  third.dropReplies();
  const lock = await locker.lock('lost-answer');
  expect(await lock.release()).toBe(true);
  third.heal();
  third.cutAll();
  await eventually(() => isFree(servers, 'lost-answer')).toBe(true);
});

test('nobody overlaps while servers freeze, one at a time', async () => {
  const servers = await start(5);
  const lockers = await Promise.all(Array.from({ length: 3 }, () => lockerOn(servers)));
  let [holders, most, sections] = [0, 0, 0];
  const end = new AbortController();
  const work = async (locker: Locker): Promise<void> => {
    while (!end.signal.aborted) {
      await locker
        .withLock('contended', { wait: 5_000 }, async (lock) => {
          holders += 1;
          most = Math.max(most, holders);
          await sleep(5);
          holders -= 1;
          lock.assertHeld();
          sections += 1;
        })
        .catch(() => {});
    }
  };
  const working = lockers.map(work);
  for (let round = 0; round < 8; round++) {
    const pair = [servers[round % 5] as TestServer, servers[(round + 1) % 5] as TestServer];
    for (const server of pair) server.freeze();
    await sleep(250);
    for (const server of pair) server.thaw();
    await sleep(50);
  }
  end.abort();
  await Promise.all(working);
  expect(most).toBe(1);
  expect(sections).toBeGreaterThan(10);
});
