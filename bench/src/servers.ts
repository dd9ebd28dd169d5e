import { readFileSync } from 'node:fs';
import {
  ensureBinaries,
  MEMCACHED,
  REDIS,
  startMemcached,
  startRedis,
  type TestServer,
} from '@holdfast/test-servers';
import { Redis } from 'ioredis';

/** Runs some work on a server of its own. */
export async function onRedis<T>(
  work: (server: TestServer, url: string) => Promise<T>,
): Promise<T> {
  const [binary] = (await ensureBinaries([REDIS])) as [string];
  const server = await startRedis(binary);
  try {
    return await work(server, `redis://${server.host}:${server.port}`);
  } finally {
    await server.stop();
  }
}

/** Runs some work on a memcached of its own. */
export async function onMemcached<T>(work: (address: string) => Promise<T>): Promise<T> {
  const [binary] = (await ensureBinaries([MEMCACHED])) as [string];
  const server = await startMemcached(binary);
  try {
    return await work(`${server.host}:${server.port}`);
  } finally {
    await server.stop();
  }
}

/** CPU time of a process so far, in µs; 0 where there is no /proc. */
function cpuOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    // User and system time, in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return 0;
  }
}

/** What a server has done in some time. */
export interface Spent {
  /** CPU in µs. */
  readonly serverCpu: number;
  /** Those in scripts included. */
  readonly commands: number;
}

/** Watches a Redis server from now on, until the function that it returns is called. */
export async function watchRedis(server: TestServer): Promise<() => Promise<Spent>> {
  const client = new Redis(server.port, server.host);
  const look = async (): Promise<Spent> => {
    const stats = await client.info('commandstats');
    // What scripts run is counted by its own name too; the script itself is one command more.
    const calls = [...stats.matchAll(/cmdstat_(\S+):calls=(\d+)/g)]
      .filter(([, name]) => name !== 'info')
      .map(([, , count]) => Number(count));
    return { serverCpu: cpuOf(server.pid), commands: calls.reduce((sum, count) => sum + count, 0) };
  };
  const before = await look();
  return async () => {
    const after = await look();
    client.disconnect();
    return {
      serverCpu: after.serverCpu - before.serverCpu,
      commands: after.commands - before.commands,
    };
  };
}
