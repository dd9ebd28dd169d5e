// One worker process. Its arguments: the client, where Redis is, the queue, and `guarded` or `plain`.
import { guard } from '@holdfast/bullmq';
import { createLocker } from '@holdfast/core';
import { Queue, Worker, type Processor } from 'bullmq';
import { connect, type ClientName } from './client.ts';
import { Ledger } from './ledger.ts';
import { lockOf, type Transfer } from './transfers.ts';

const [library = '', url = '', name = '', way] = process.argv.slice(2);
const client = await connect(library as ClientName, url);
const { connection } = client;
const queue = new Queue<Transfer>(name, { connection });
const locker = createLocker({ store: client.store, namespace: name });
const ledger = new Ledger(client, name);

const guarded = guard<Transfer>(
  {
    locker,
    key: (job) => [lockOf(job.data.from), lockOf(job.data.to)],
    order: { queue, redis: client.scripts },
    // A worker that dies keeps its accounts until its jobs have been found: so their order is kept too.
    ttl: 20_000,
    owner: 'job',
  },
  (job, _token, _signal, lock) => ledger.post(job.data, lock),
);

const plain: Processor<Transfer> = (job) => ledger.post(job.data, undefined);

const worker = new Worker<Transfer>(name, way === 'plain' ? plain : guarded, {
  connection,
  autorun: false,
  concurrency: 8,
  // How soon it is found out that a worker died.
  lockDuration: 3_000,
  stalledInterval: 500,
  maxStalledCount: 10,
});
guarded.attach(worker);
worker.on('error', (error) => process.send?.({ error: String(error) }));

await worker.waitUntilReady();
// All workers start together, when each is ready.
process.once('message', () => void worker.run());
process.send?.('ready');
// Its parent is gone, or has ended it.
process.once('disconnect', () => process.exit());
// The one that tells it is the parent, which cleans up.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
