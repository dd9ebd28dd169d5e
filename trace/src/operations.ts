import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { guard } from '@holdfast/bullmq';
import { createLocker, type Locker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { redisStore } from '@holdfast/redis';
import { ensureBinaries, REDIS, startRedis } from '@holdfast/test-servers';
import { Queue, QueueEvents, Worker } from 'bullmq';
import express from 'express';
import { Redis } from 'ioredis';
import { nestCall } from './nest-call.ts';
import { record, type Walk } from './recorder.ts';

/** ms in which everything that an operation leaves to later turns has happened. */
const SETTLED = 50;

/** Every operation, recorded when it runs for the second time: scripts are loaded, connections are made. */
export async function walks(): Promise<Walk[]> {
  const [binary] = (await ensureBinaries([REDIS])) as [string];
  const server = await startRedis(binary);
  const url = `redis://${server.host}:${server.port}`;
  const client = new Redis(url);
  const locker = createLocker({ store: redisStore(client) });
  const memory = createLocker();
  try {
    return [
      await uncontended('withLock, memory', memory),
      await uncontended('withLock, Redis', locker),
      ...(await handOff(locker)),
      ...(await contended(locker, url)),
      await request(memory),
      await nestCall(),
      await job(locker, client, url),
    ];
  } finally {
    await locker.close();
    await client.quit();
    await server.stop();
  }
}

async function uncontended(title: string, locker: Locker): Promise<Walk> {
  await locker.withLock('free', () => {});
  return record(title, async () => {
    await locker.withLock('free', () => {});
  });
}

/** Two calls of one process for one key. */
async function handOff(locker: Locker): Promise<Walk[]> {
  const held = await locker.lock('handed over');
  let next: ReturnType<Locker['lock']> | undefined = undefined;
  const waits = await record('lock behind a holder of this process', async () => {
    next = locker.lock('handed over');
    // Not for long: after 50 ms the store would be asked instead.
    await setImmediate();
  });
  const passes = await record('release with a local hand-off', async () => {
    await held.release();
    await next;
  });
  await (await next!).release();
  return [waits, passes];
}

async function contended(locker: Locker, url: string): Promise<Walk[]> {
  const file = new URL('./holder.ts', import.meta.url);
  const holder = fork(file, [url, 'contended']);
  await once(holder, 'message');
  let lock: ReturnType<Locker['lock']> | undefined = undefined;
  const waits = await record('lock while another process holds', async () => {
    lock = locker.lock('contended');
    await sleep(SETTLED);
  });
  const granted = await record('release by another process, wake-up, grant', async () => {
    holder.send('release');
    await lock;
  });
  await (await lock!).release();
  await once(holder, 'exit');
  return [waits, granted];
}

async function request(locker: Locker): Promise<Walk> {
  const app = express();
  app.get('/', lockRoute({ locker, key: 'route' }), (_, response) => {
    response.end();
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const get = async (): Promise<void> => {
    await (await fetch(address)).text();
    await sleep(SETTLED);
  };
  await get();
  const walk = await record('Express request, memory', get);
  server.closeAllConnections();
  server.close();
  return walk;
}

/** A job of its own key, with `order`. */
async function job(locker: Locker, client: Redis, url: string): Promise<Walk> {
  const { hostname: host, port } = new URL(url);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const queue = new Queue('jobs', { connection });
  const events = new QueueEvents('jobs', { connection });
  const guarded = guard(
    { locker, key: (of) => String(of.data), order: { queue, redis: client } },
    async () => {},
  );
  const worker = new Worker('jobs', guarded, { connection });
  guarded.attach(worker);
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);
  const done = async (key: string): Promise<void> => {
    const added = await queue.add('job', key);
    await added.waitUntilFinished(events);
    await sleep(SETTLED);
  };
  await done('a');
  const walk = await record('guarded BullMQ job with order, Redis', () => done('b'));
  await Promise.all([worker.close(), events.close(), queue.close()]);
  return walk;
}
