import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createLocker } from '@holdfast/core';
import { orderApp } from './app.ts';
import { memoryBackend, redisBackend } from './backend.ts';

const ports = (process.env['PORTS'] ?? '3001,3002').split(',').map(Number);
const { REDIS_URL } = process.env;
const backend = REDIS_URL ? redisBackend(REDIS_URL) : memoryBackend();

const instances = ports.map((port) => {
  // Each has a locker of its own, as if it ran elsewhere: all they share is the store.
  const locker = createLocker({ store: backend.store, name: `orders:${port}` });
  const server = orderApp(locker, backend).listen(port, (error) => {
    if (error !== undefined) throw error;
    console.log(`Orders on http://localhost:${(server.address() as AddressInfo).port}`);
  });
  return { locker, server };
});

async function stop(): Promise<void> {
  const stopping = instances.map(({ server, locker }) => {
    server.close();
    return Promise.all([once(server, 'close'), locker.close({ drain: 5_000 })]);
  });
  await Promise.all(stopping);
  await backend.close();
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());
