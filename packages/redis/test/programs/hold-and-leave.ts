// Holds locks, has others wait for them, ends its locker or its client, and must then end by itself.
import { once } from 'node:events';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

const [url = '', how] = process.argv.slice(2);
const clients = [new Redis(url), new Redis(url)] as const;
const [holding, waiting] = clients.map((client) => createLocker({ store: redisStore(client) }));
if (holding === undefined || waiting === undefined) throw new Error('no lockers');
await holding.lock('programs:a');
const waits = new Promise((resolve) => waiting.on('waiting', resolve));
const refused = waiting.lock('programs:a').catch((error: unknown) => error);
await waits;
if (how === 'close') {
  await Promise.all([holding.close(), waiting.close()]);
  await refused;
}
// The server may hang up while a locker that is still open writes: then ioredis takes the answer for lost.
await Promise.all(clients.map((client) => client.quit().catch(() => {})));
for (const client of clients) if (client.status !== 'end') await once(client, 'end');
if (how === 'quit') await refused;
process.stdout.write(`left ${performance.timeOrigin + performance.now()}\n`);
