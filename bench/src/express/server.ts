// One variant of one route on one store, in a process of its own. It tells its port, and when asked the
// CPU time that it has used so far.
import type { AddressInfo } from 'node:net';
import { createLocker, memoryStore } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { redisStore } from '@holdfast/redis';
import express, { type RequestHandler } from 'express';
import { Redis } from 'ioredis';

// Without a URL of a Redis the store is memory.
const [variant, url] = process.argv.slice(2) as [string, string?];

let requests = 0;
// A key that nobody else asks for.
const lock = lockRoute({
  locker: createLocker({ store: url ? redisStore(new Redis(url)) : memoryStore() }),
  key: () => `order:${++requests}`,
});
const answer: RequestHandler = (_req, res) => {
  res.json({ ok: true });
};
const later: RequestHandler = async (_req, res) => {
  await Promise.resolve();
  res.json({ ok: true });
};

const routes: Record<string, RequestHandler[]> = {
  bare: [answer],
  middleware: [lock, answer],
  'bare, async': [later],
  handler: [lock.handler(later)],
};

const app = express();
app.post('/orders/:id/pay', ...(routes[variant] ?? []));
const server = app.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as AddressInfo).port);
});
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.(user + system);
});
process.on('disconnect', () => process.exit());
