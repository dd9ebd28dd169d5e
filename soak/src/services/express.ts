import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createLocker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { redisStore } from '@holdfast/redis';
import express from 'express';
import { Redis } from 'ioredis';
import type { Service, ServiceOptions } from '../protocol.ts';
import { work } from '../work.ts';

/** Both forms of a locked route. */
export async function startExpress({ redisPort, leaks }: ServiceOptions): Promise<Service> {
  const client = new Redis(redisPort, '127.0.0.1');
  const locker = createLocker({ store: redisStore(client), maxWaiters: 10 });
  const app = express();
  app.set('env', 'test');
  const lock = lockRoute({ locker, key: (req) => `order:${String(req.params['id'])}`, wait: 100 });
  app.post('/middleware/:id', lock, async (_req, res) => {
    await work(leaks);
    res.json({ ok: true });
  });
  app.post(
    '/handler/:id',
    lock.handler(async (_req, res) => {
      await work(leaks);
      res.json({ ok: true });
    }),
  );
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await locker.close();
      client.disconnect();
    },
  };
}
