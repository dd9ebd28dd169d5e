import { mkdtempSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createLocker, memoryStore } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { orderApp } from './app.ts';
import { Database } from './database.ts';

const { PORTS = '3001,3002', REDIS_URL, DATABASE_URL } = process.env;
const ms = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const times = { partner: ms('PARTNER', 250), wait: ms('WAIT', 5_000), limit: ms('LIMIT', 10_000) };

const redis = REDIS_URL ? new Redis(REDIS_URL, { maxRetriesPerRequest: 1 }) : undefined;
redis?.on('error', (error: Error) => console.warn(`Redis: ${error.message}`));
const store = redis === undefined ? memoryStore() : redisStore(redis);
const file = DATABASE_URL ?? `file:${join(mkdtempSync(join(tmpdir(), 'orders-')), 'orders.db')}`;
const database = await Database.open(file);

const instances = PORTS.split(',').map((port) => {
  // Each has a locker of its own, as if it ran elsewhere: all they share is the store.
  const locker = createLocker({ store, name: `orders:${port}` });
  locker.on('lost', ({ reason }) => console.warn(`A lock was lost: ${reason}.`));
  const server = orderApp(locker, database, times).listen(Number(port), (error) => {
    if (error !== undefined) throw error;
    console.log(`Orders on http://localhost:${(server.address() as AddressInfo).port}`);
  });
  return { locker, server };
});

async function stop(): Promise<void> {
  const stopping = instances.map(async ({ server, locker }) => {
    // First what is under way and in line, then the locker.
    await promisify(server.close.bind(server))();
    await locker.close();
  });
  await Promise.all(stopping);
  await redis?.quit();
  database.close();
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());
