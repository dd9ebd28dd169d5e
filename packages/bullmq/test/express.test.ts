// A key that jobs and requests share.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { guard } from '@holdfast/bullmq';
import { lockRoute } from '@holdfast/express';
import express from 'express';
import { expect, test } from 'vitest';
import { addMany, completed, Log, Site, until } from './kit/index.ts';

const site = new Site();

test('a route and a worker that take the same key exclude each other', async () => {
  const queue = site.queue();
  const log = new Log();
  const first = site.gate();
  const app = express();
  const key = 'account:7';
  app.post('/pay', lockRoute({ locker: site.locker(), key, wait: 30_000 }), async (_req, res) => {
    const end = log.begin({ key, n: 0 });
    await first.opened;
    await sleep(5);
    end();
    res.end();
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  site.atEnd(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/pay`;
  const pay = (): Promise<number> => fetch(url, { method: 'POST' }).then(({ status }) => status);

  const paid = pay();
  await until(() => log.begun.length === 1);
  const order = { queue, redis: site.client() };
  site.worker(
    queue,
    guard({ locker: site.locker(), key, delay: 200, order }, async (job) => {
      const end = log.begin({ key, n: job.data.n });
      await sleep(5);
      end();
    }),
    { concurrency: 4 },
  );
  await addMany(queue, 10);
  await until(async () => (await queue.getDelayedCount()) > 0);
  expect(log.begun).toEqual([0]);
  first.open();
  const more = [pay(), pay(), pay()];
  expect(await Promise.all([paid, ...more])).toEqual([200, 200, 200, 200]);
  await completed(queue, 10);
  expect(log.overlaps).toEqual([]);
  expect(log.begun).toHaveLength(14);
});
