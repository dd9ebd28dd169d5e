// One worker process. Its arguments: where Redis is, and the name of the queue.
import { guard } from '@holdfast/bullmq';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { Ledger } from './ledger.ts';
import { lockOf, type Transfer } from './transfers.ts';

const [url = '', name = ''] = process.argv.slice(2);
const redis = new Redis(url, { maxRetriesPerRequest: null });
const queue = new Queue<Transfer>(name, { connection: redis });
const locker = createLocker({ store: redisStore(redis) });
const ledger = new Ledger(redis, name);

const guarded = guard<Transfer>(
  {
    locker,
    key: (job) => [lockOf(job.data.from), lockOf(job.data.to)],
    order: { queue, redis },
    // A worker that dies keeps its accounts until its jobs have been found: so their order is kept too.
    ttl: 20_000,
    owner: 'job',
  },
  (job, _token, _signal, lock) => ledger.post(job.data, lock),
);

const worker = new Worker<Transfer>(name, guarded, {
  connection: redis,
  concurrency: 8,
  // How soon it is found out that a worker died.
  lockDuration: 3_000,
  stalledInterval: 500,
  maxStalledCount: 10,
});
guarded.attach(worker);
worker.on('error', (error) => process.send?.({ error: String(error) }));

process.once('SIGTERM', () => {
  void worker
    .close()
    .then(() => locker.close())
    .then(() => process.exit());
});
// Its parent is gone.
process.once('disconnect', () => process.exit());
