import { createLocker } from '@holdfast/core';
import { redisStore, type AnyRedisClient } from '@holdfast/redis';
import { COMPARE_AND_DELETE, TTL, type Take } from './peers.ts';

/** Takes the keys of one lock, and ends it, by a client's own commands. */
interface Raw {
  set(key: string, owner: string): Promise<unknown>;
  compareAndDelete(key: string, owner: string): Promise<unknown>;
}

/** A client library: a client as users make it, and its own commands. */
type Library = (host: string, port: number) => Promise<readonly [AnyRedisClient, Raw]>;

interface LikeIoredis {
  script(load: 'LOAD', source: string): Promise<unknown>;
  set(key: string, owner: string, px: 'PX', ms: number, nx: 'NX'): Promise<unknown>;
  evalsha(sha: string, keys: number, ...words: string[]): Promise<unknown>;
}

async function rawOf(client: LikeIoredis): Promise<Raw> {
  const sha = (await client.script('LOAD', COMPARE_AND_DELETE)) as string;
  return {
    set: (key, owner) => client.set(key, owner, 'PX', TTL, 'NX'),
    compareAndDelete: (key, owner) => client.evalsha(sha, 1, key, owner),
  };
}

const libraries: Readonly<Record<string, Library>> = {
  ioredis: async (host, port) => {
    const { Redis } = await import('ioredis');
    const client = new Redis(port, host);
    return [client, await rawOf(client)];
  },

  iovalkey: async (host, port) => {
    const { Redis } = await import('iovalkey');
    const client = new Redis(port, host);
    return [client, await rawOf(client)];
  },

  'node-redis': async (host, port) => {
    const { createClient } = await import('redis');
    const client = createClient({ socket: { host, port } });
    await client.connect();
    const sha = await client.scriptLoad(COMPARE_AND_DELETE);
    const expiration = { type: 'PX', value: TTL } as const;
    const raw: Raw = {
      set: (key, owner) => client.set(key, owner, { expiration, condition: 'NX' }),
      compareAndDelete: (key, owner) => client.evalSha(sha, { keys: [key], arguments: [owner] }),
    };
    return [client, raw];
  },

  glide: async (host, port) => {
    const { GlideClient, Logger, Script, TimeUnit } = await import('@valkey/valkey-glide');
    // It writes each request that is slow on a busy machine, and gives it up after 250 ms.
    Logger.setLoggerConfig('off');
    const addresses = [{ host, port }];
    const client = await GlideClient.createClient({ addresses, requestTimeout: 10_000 });
    const script = new Script(COMPARE_AND_DELETE);
    const expiry = { type: TimeUnit.Milliseconds, count: TTL };
    const raw: Raw = {
      set: (key, owner) => client.set(key, owner, { conditionalSet: 'onlyIfDoesNotExist', expiry }),
      compareAndDelete: (key, owner) => client.invokeScript(script, { keys: [key], args: [owner] }),
    };
    return [client, raw];
  },
};

export const CLIENTS = Object.keys(libraries);

async function open(library: Library, url: string): Promise<readonly [AnyRedisClient, Raw]> {
  const { hostname, port } = new URL(url);
  return library(hostname, Number(port));
}

const holdfastOn =
  (library: Library) =>
  async (url: string): Promise<Take> => {
    const [client] = await open(library, url);
    const locker = createLocker({ store: redisStore(client), ttl: TTL });
    return async (key) => {
      const lock = await locker.lock(key);
      return () => lock.release();
    };
  };

const rawOn =
  (library: Library) =>
  async (url: string): Promise<Take> => {
    const [, raw] = await open(library, url);
    let count = 0;
    return async (key) => {
      const owner = `${process.pid}:${++count}`;
      await raw.set(key, owner);
      return () => raw.compareAndDelete(key, owner);
    };
  };

/** Ours by a client library, and the least that a lock is by the same. */
export const namesOn = (client: string): [ours: string, raw: string] => [
  `holdfast on ${client}`,
  `raw ${client} commands`,
];

/** All of them, by these names. */
export const onClients: Readonly<Record<string, (url: string) => Promise<Take>>> =
  Object.fromEntries(
    Object.entries(libraries).flatMap(([client, library]) => {
      const [ours, raw] = namesOn(client);
      return [
        [ours, holdfastOn(library)],
        [raw, rawOn(library)],
      ];
    }),
  );
