// What locks are for, on one screen: in one process, or, with REDIS_URL, in several. With --board it goes
// on until it is ended, and a page shows what it does.
import { memoryStore, type LockStore } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import type { Redis } from 'ioredis';
import { openBoard } from './board.ts';
import { frozenHolder } from './frozen-holder.ts';
import { demonstrate as inProcess } from './in-process.ts';
import { connect, demonstrate as inProcesses, Services } from './in-processes.ts';
import { keepBusy } from './keep-busy.ts';
import { Stage } from './stage.ts';

async function main(url: string, withBoard: boolean): Promise<void> {
  const client: Redis | undefined = url === '' ? undefined : await connect(url);
  const store: LockStore = client === undefined ? memoryStore() : redisStore(client);
  const where = client === undefined ? 'in this process' : 'by four processes on Redis';
  // They start while the first act is shown.
  const services = client === undefined ? undefined : new Services(url);
  const stage = new Stage(`Holdfast: locks that tell when they are lost, ${where}`);
  try {
    await frozenHolder(stage, store);
    if (client === undefined || services === undefined) await inProcess(stage);
    else await inProcesses(stage, client, services);
    stage.end();
    if (withBoard) await keepBusy(store, openBoard);
  } finally {
    await services?.end();
    client?.disconnect();
  }
}

const url = process.env['REDIS_URL'] ?? '';
await main(url, process.argv.includes('--board')).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
