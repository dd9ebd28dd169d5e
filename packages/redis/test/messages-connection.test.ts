import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import {
  redisBinary,
  startRedisCluster,
  startRedisWith,
  type TestCluster,
} from '@holdfast/test-servers';
import { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test as base } from 'vitest';
import { portOf } from '../src/connection/clients.ts';
import { recorded, type RecordedStore } from './recorded-store.ts';
import { test, until, waiting } from './site.ts';

// The connection for messages, and what becomes of it.

interface Process extends RecordedStore {
  readonly locker: Locker;
  readonly warnings: string[];
}

const endings: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of endings.toReversed()) await end();
});

function start(client: Redis | Cluster): Process {
  client.on('error', () => {});
  const record = recorded(redisStore(client));
  const locker = createLocker({ store: record.store });
  const warnings: string[] = [];
  locker.on('warning', ({ code }) => warnings.push(code));
  endings.push(
    () => client.disconnect(),
    () => locker.close(),
  );
  return Object.assign(record, { locker, warnings });
}

/** Passes a lock from one process to another, and tells whether a message has come of it. */
async function passOn(from: Process, to: Process, key = 'key'): Promise<boolean> {
  const lock = await from.locker.lock(key);
  const { taken } = await waiting(to.locker, () => to.locker.lock(key));
  const before = to.wakes();
  await lock.release();
  await (await taken).release();
  return until('a message has come', () => to.wakes() > before, 1_000).then(
    () => true,
    () => false,
  );
}

async function untilMessagesCome(from: Process, to: Process, key?: string): Promise<void> {
  let inARow = 0;
  await until('messages come', async () => {
    inARow = (await passOn(from, to, key)) ? inARow + 1 : 0;
    return inARow === 3;
  });
}

describe.concurrent('the connection for messages', () => {
  test('replaces a half-open connection for messages', async ({ site }) => {
    const [one, other] = [start(site.client()), start(site.client())];
    await untilMessagesCome(one, other);
    site.proxy.silence(/subscribe/i);
    // Whoever has sent `SUBSCRIBE` gets nothing any more, and no end of the connection either.
    expect(await passOn(one, other)).toBe(false);
    await untilMessagesCome(one, other);
    expect(other.warnings).toEqual([]);
  });

  test('warns once when no connection can be made, and makes it when it can', async ({ site }) => {
    const [one, other] = [start(site.client()), start(site.client())];
    for (const { locker } of [one, other]) await locker.withLock('warm-up', () => {});
    const list = (await site.admin.client('LIST')) as string;
    await site.admin.config('SET', 'maxclients', String(list.trim().split('\n').length));
    const lock = await one.locker.lock('held');
    const { taken } = await waiting(other.locker, () => other.locker.lock('held'));
    await until('it is told', () => other.warnings.length > 0);
    await site.admin.config('SET', 'maxclients', '1000');
    await lock.release();
    await (await taken).release();
    await untilMessagesCome(one, other);
    expect(other.warnings).toEqual(['HOLDFAST_REDIS_NO_MESSAGES']);
  });

  test('follows the client to the server that it leads to by then', async ({ site }) => {
    const [one, other] = [start(site.client()), start(site.client())];
    await untilMessagesCome(one, other);
    await site.restart();
    site.proxy.cutAll();
    await untilMessagesCome(one, other);
  });

  base('has the password that the client has by then', async () => {
    const server = await startRedisWith(redisBinary(), { password: 'before' });
    endings.push(() => server.stop());
    const { host, port } = server;
    const clients = [0, 1].map(() => new Redis({ host, port, password: 'before' })) as [
      Redis,
      Redis,
    ];
    const [one, other] = clients.map(start) as [Process, Process];
    await untilMessagesCome(one, other);
    const [admin] = clients;
    await admin.config('SET', 'requirepass', 'after');
    for (const client of clients) client.options.password = 'after';
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await untilMessagesCome(one, other);
  });

  base('to a cluster has the password that the cluster has by then', async () => {
    const cluster = await startRedisCluster(redisBinary(), 2, [], { password: 'before' });
    endings.push(() => cluster.stop());
    const nodes = cluster.masters.map(({ host, port }) => ({ host, port }));
    const clients = [0, 1].map(
      () => new Cluster(nodes, { redisOptions: { password: 'before' } }),
    ) as [Cluster, Cluster];
    const [one, other] = clients.map(start) as [Process, Process];
    await untilMessagesCome(one, other);
    for (const master of cluster.masters) {
      await cluster.command(master, 'CONFIG', 'SET', 'masterauth', 'after', 'requirepass', 'after');
    }
    for (const { options } of clients) (options.redisOptions ?? {}).password = 'after';
    for (const client of clients) {
      for (const node of client.nodes('master'))
        await node.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    }
    await untilMessagesCome(one, other);
  });
});

describe('a connection of our own', () => {
  const OPTIONS = {
    family: 4,
    connectTimeout: 4_321,
    keepAlive: 1_234,
    noDelay: false,
    connectionName: 'app',
    username: 'default',
    enableReadyCheck: false,
    maxLoadingRetryTime: 7_654,
  };

  /** The options of the first copy that is made of a client. */
  function copied(client: Redis): Promise<Record<string, unknown>> {
    const duplicate = client.duplicate.bind(client);
    return new Promise((resolve) => {
      client.duplicate = (override) => {
        const copy = duplicate(override);
        resolve(copy.options as Record<string, unknown>);
        return copy;
      };
    });
  }

  test('has all options of a client of one server', async ({ site }) => {
    const { port, host } = site.server;
    const client = new Redis({ ...OPTIONS, host, port, db: 3, keyPrefix: 'app:' });
    const options = copied(client);
    const { locker } = start(client);
    await locker.lock('held for a while');
    expect(await options).toMatchObject({ ...OPTIONS, host, port, db: 3, keyPrefix: '' });
  });

  base('to the primary of a Sentinel has all options of the client', async () => {
    const sentinel = {
      sentinels: [{ host: '127.0.0.1', port: 1 }],
      name: 'primary',
      sentinelUsername: 'watcher',
      sentinelPassword: 'secret',
      enableTLSForSentinelMode: true,
      updateSentinels: false,
      natMap: { '10.0.0.1:6379': { host: '127.0.0.1', port: 2 } },
      role: 'master' as const,
    };
    const client = new Redis({ ...OPTIONS, ...sentinel, tls: {}, lazyConnect: true });
    const options = copied(client);
    endings.push(() => client.disconnect());
    // A locker would open it with the first lock that is held; there is no server for one.
    portOf(client)
      ?.openMessages({ opened() {}, message() {}, ended() {} })
      .close();
    expect(await options).toMatchObject({ ...OPTIONS, ...sentinel, tls: {} });
  });

  describe('in a cluster', () => {
    let cluster: TestCluster;
    beforeAll(async () => {
      cluster = await startRedisCluster(redisBinary(), 2);
    }, 60_000);
    afterAll(() => cluster.stop());

    base('has all options of the client, and the address that natMap gives', async () => {
      const nodes = cluster.masters.map(({ host, port }) => ({ host, port }));
      const natMap = Object.fromEntries(
        nodes.map(({ host, port }) => [`${host}:${port}`, { host: 'localhost', port }]),
      );
      const client = new Cluster(nodes, {
        natMap,
        keyPrefix: 'app:',
        redisOptions: OPTIONS,
        dnsLookup: (_name, callback) => callback(null, '127.0.0.1', 4),
      });
      const { locker } = start(client);
      await locker.withLock('warm-up', () => {});
      const options = Promise.race(client.nodes('master').map(copied));
      await locker.lock('held for a while');
      expect(await options).toMatchObject({ ...OPTIONS, host: 'localhost', keyPrefix: '' });
    });

    base('goes to another node when its own has left', async () => {
      const nodes = cluster.masters.map(({ host, port }) => ({ host, port }));
      const client = (): Cluster => new Cluster(nodes, { slotsRefreshInterval: 200 });
      const all = Array.from({ length: 6 }, () => start(client()));
      const [holder, ...others] = all as [Process, ...Process[]];
      for (const other of others) await untilMessagesCome(holder, other);
      const [stays, leaves] = cluster.masters as [
        (typeof cluster.masters)[0],
        (typeof cluster.masters)[0],
      ];
      const change = (master: typeof stays, verb: string): Promise<string> =>
        cluster.command(master, 'CLUSTER', verb, '8192', '16383');
      await change(leaves, 'DELSLOTSRANGE');
      await cluster.command(leaves, 'FLUSHALL');
      // A message that was on its way may give the slots back to who has left them.
      await until('the slots are taken over', async () => {
        await change(stays, 'DELSLOTSRANGE').catch(() => {});
        return change(stays, 'ADDSLOTSRANGE').then(
          () => true,
          () => false,
        );
      });
      await cluster.command(leaves, 'CLUSTER', 'RESET', 'HARD');
      for (const other of others) await untilMessagesCome(holder, other);
    });
  });
});
