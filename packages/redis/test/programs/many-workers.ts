// Takes one lock in many workers at once, each a thread or a process of Node's cluster, and adds to a
// counter under it in two steps. Prints what it counted to, and whether the tokens grew.
import cluster from 'node:cluster';
import { once } from 'node:events';
import { isMainThread, Worker } from 'node:worker_threads';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

const WORKERS = 4;
const ROUNDS = 15;
const [url = '', kind = ''] = process.argv.slice(2);

async function work(): Promise<void> {
  const client = new Redis(url);
  const locker = createLocker({ store: redisStore(client) });
  for (let round = 0; round < ROUNDS; round++) {
    await locker.withLock('workers', async ({ fencingToken }) => {
      const count = Number(await client.get('count'));
      await client.rpush('tokens', fencingToken);
      await client.set('count', count + 1);
    });
  }
  await locker.close();
  await client.quit();
  // The channel to the primary would keep the process alive.
  cluster.worker?.disconnect();
}

async function supervise(): Promise<void> {
  const workers = Array.from({ length: WORKERS }, () =>
    kind === 'threads'
      ? new Worker(new URL(import.meta.url), { argv: [url, kind] })
      : cluster.fork(),
  );
  const codes = await Promise.all(workers.map(async (worker) => (await once(worker, 'exit'))[0]));
  const client = new Redis(url);
  const tokens = (await client.lrange('tokens', 0, -1)).map(Number);
  const grew = tokens.every((token, index) => index === 0 || token > (tokens[index - 1] ?? 0));
  const count = Number(await client.get('count'));
  await client.quit();
  process.stdout.write(`${JSON.stringify({ codes, count, grew })}\n`);
}

await (isMainThread && cluster.isPrimary ? supervise() : work());
