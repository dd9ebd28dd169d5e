// Holds and releases locks on a quorum, and on a store that asks replicas, and must then end by itself.
import { createLocker } from '@holdfast/core';
import { redisQuorum, redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

const [kind = '', ...ports] = process.argv.slice(2);
const clients = ports.map((port) => new Redis(Number(port)));
const [first] = clients;
if (first === undefined) throw new Error('no clients');
const store =
  kind === 'quorum'
    ? redisQuorum(clients)
    : redisStore(first, { durability: { minReplicas: 1, timeout: 200 } });
for (const client of clients) client.on('error', () => {});
const locker = createLocker({ store, ttl: 60_000 });
await locker.tryWithLock('programs:a', () => {}).catch(() => {});
await locker.lock('programs:b', { wait: 500 }).catch(() => {});
await locker.close();
for (const client of clients) client.disconnect();
process.stdout.write(`left ${performance.timeOrigin + performance.now()}\n`);
