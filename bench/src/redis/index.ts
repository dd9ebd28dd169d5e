import type { Goal } from '../goals.ts';
import { onRedis } from '../servers.ts';
import { CLIENTS } from './clients.ts';
import { competing } from './competing.ts';
import { holding } from './holding.ts';
import { queueing } from './queueing.ts';
import { onClient, sequential } from './speed.ts';

/**
 * The Redis store beside raw ioredis and the libraries that people use, on a server of their own.
 *
 * @param client instead, the store by this client library beside the library's own commands
 */
export async function run(client?: string): Promise<Goal[]> {
  if (client !== undefined) {
    if (!CLIENTS.includes(client)) {
      throw new Error(`There is no client '${client}'. There are: ${CLIENTS.join(', ')}.`);
    }
    await onClient(client);
    return [];
  }
  await sequential();
  return onRedis(async (_, url) => {
    const goals: Goal[] = [];
    for (const work of [queueing, competing, holding]) goals.push(...(await work(url)));
    return goals;
  });
}
