// Holds a lock and waits for it, by the client library that the tests run on, ends its lockers and its clients, or
// only the clients, and must then end by itself.
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { clientKind } from '../clients/index.ts';

const [host = '', port = '', how = ''] = process.argv.slice(2);
const connect = (): ReturnType<typeof clientKind.single> =>
  clientKind.single({ host, port: Number(port) });
const clients = [await connect(), await connect()] as const;
// Grants that no replica confirms open the connection that waits for replicas.
const options = how === 'durability' ? { durability: { minReplicas: 1, timeout: 100 } } : {};
const [holding, waiting] = clients.map(({ client }) =>
  createLocker({ store: redisStore(client, options) }),
) as [ReturnType<typeof createLocker>, ReturnType<typeof createLocker>];
const refused: Promise<unknown>[] = [];
if (how === 'durability') {
  await holding.lock('programs:a', { wait: 500 }).catch(() => {});
} else {
  await holding.lock('programs:a');
  const waits = new Promise((resolve) => waiting.on('waiting', resolve));
  refused.push(waiting.lock('programs:a').catch((error: unknown) => error));
  await waits;
}
if (how !== 'client') await Promise.all([holding.close(), waiting.close()]);
for (const made of clients) await made.close();
await Promise.all(refused);
process.stdout.write(`left ${performance.timeOrigin + performance.now()}\n`);
