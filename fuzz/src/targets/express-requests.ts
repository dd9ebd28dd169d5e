import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createLocker, type Key } from '@holdfast/core';
import { getLock, lockRoute } from '@holdfast/express';
import express from 'express';
import type { Target, TargetKind } from '../target.ts';
import { HttpTarget } from './http-target.ts';

interface Body {
  readonly keys: Key;
  readonly owner: string;
  readonly ttl: number;
}

/** Routes that take what a request says for a key, an owner and numbers, without a look at it. */
async function start(): Promise<Target> {
  const locker = createLocker({ maxWaiters: 5 });
  const app = express();
  // Its own handler of errors prints them otherwise.
  app.set('env', 'test');
  app.use(express.json({ limit: '1mb' }));
  const order = lockRoute({
    locker,
    key: (req) => `order:${String(req.params['id'])}`,
    ttl: (req) => (req.query['ttl'] === undefined ? 5_000 : Number(req.query['ttl'])),
    wait: (req) => Number(req.query['wait'] ?? 0),
  });
  app.post('/orders/:id/pay', order, (req, res) => {
    setImmediate(() => res.json({ key: getLock(req).key }));
  });
  const listed = lockRoute({
    locker,
    key: (req) => (req.body as Body).keys,
    owner: (req) => (req.body as Body).owner ?? req.get('x-owner'),
    label: (req) => req.get('x-owner') ?? '',
    ttl: (req) => (req.body as Body).ttl,
  });
  app.post(
    '/keys',
    listed.handler(async (_req, res) => {
      res.json({ ok: true });
    }),
  );
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return new HttpTarget({
    port: (server.address() as AddressInfo).port,
    locker,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await locker.close();
    },
  });
}

export const expressRequests: TargetKind = { name: 'express-requests', share: 7, start };
