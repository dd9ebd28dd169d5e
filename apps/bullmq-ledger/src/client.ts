import type { LockStore } from '@holdfast/core';
import type { OrderRedis } from '@holdfast/bullmq';
import { redisScripts, redisStore } from '@holdfast/redis';
import type { ConnectionOptions } from 'bullmq';
import { Redis } from 'ioredis';
import { createClient } from 'redis';

/** What the ledger needs of a Redis client, for its queue, its locks and its books. */
export interface Client {
  readonly connection: ConnectionOptions;
  readonly store: LockStore;
  readonly scripts: OrderRedis;
  call(...words: readonly (string | number)[]): Promise<unknown>;
  close(): void;
}

function ioredis(url: string): Client {
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  return {
    connection: redis,
    store: redisStore(redis),
    scripts: redis,
    call: (command, ...words) => redis.call(String(command), ...words),
    close: () => redis.disconnect(),
  };
}

async function nodeRedis(url: string): Promise<Client> {
  const redis = createClient({ url });
  redis.on('error', () => {});
  await redis.connect();
  return {
    connection: redis as unknown as ConnectionOptions,
    store: redisStore(redis),
    scripts: redisScripts(redis),
    call: (...words) => redis.sendCommand(words.map(String)),
    close: () => redis.destroy(),
  };
}

const clients = { ioredis, 'node-redis': nodeRedis };

export type ClientName = keyof typeof clients;

export const isClientName = (name: string): name is ClientName => Object.hasOwn(clients, name);

/** The names of all clients there are. */
export const clientNames = Object.keys(clients);

export async function connect(name: ClientName, url: string): Promise<Client> {
  return clients[name](url);
}
