import { ensureBinaries, REDIS, startRedis } from '@holdfast/test-servers';
import { table } from '../harness.ts';
import { CLIENTS } from './clients.ts';
import { competing } from './competing.ts';
import { holding } from './holding.ts';
import { queueing } from './queueing.ts';
import type { Row } from './results.ts';
import { onClient, parallel, sequential } from './speed.ts';

/**
 * The Redis store beside raw ioredis and the libraries that people use, on a server of their own.
 *
 * @param client instead, the store by this client library beside the library's own commands
 */
export async function run(client?: string): Promise<boolean> {
  const [binary] = (await ensureBinaries([REDIS])) as [string];
  if (client !== undefined) {
    if (!CLIENTS.includes(client)) {
      throw new Error(`There is no client '${client}'. There are: ${CLIENTS.join(', ')}.`);
    }
    await onClient(client, binary);
    return true;
  }
  const rows: Row[] = [await sequential(binary)];
  const server = await startRedis(binary);
  try {
    const url = `redis://${server.host}:${server.port}`;
    for (const work of [parallel, queueing, competing, holding]) rows.push(...(await work(url)));
  } finally {
    await server.stop();
  }
  const head = ['work', 'figure', 'holdfast', 'beside it', 'goal', ''];
  table(
    'Redis: all goals',
    head,
    rows.map(({ cells, reached }) => [...cells, reached ? 'reached' : 'MISSED']),
  );
  return rows.every(({ reached }) => reached);
}
