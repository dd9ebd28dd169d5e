import {
  redisCommand,
  startProxy,
  until as untilTrue,
  type FaultProxy,
  type TestServer,
} from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import type { AddressMap } from '../clients.ts';

/** How long servers may take to agree, in ms, also on a busy machine. */
const PATIENCE = 120_000;

/** Waits until something is so; while it cannot be told, it is not. */
export const until = (what: string, condition: () => Promise<boolean>): Promise<void> =>
  untilTrue(what, () => condition().catch(() => false), PATIENCE);

/** A proxy before each server, and how clients find them by what the servers tell. */
export async function behindProxies(
  servers: readonly TestServer[],
): Promise<{ readonly proxies: readonly FaultProxy[]; readonly map: AddressMap }> {
  const proxies = await Promise.all(servers.map((server) => startProxy(server)));
  const map = servers.map(({ host, port }, index) => {
    const proxy = proxies[index] as FaultProxy;
    return [`${host}:${port}`, { host: proxy.host, port: proxy.port }] as const;
  });
  return { proxies, map: Object.fromEntries(map) };
}

/** Whether a server says that it is a primary or a replica, and in the latter case follows one. */
export async function isA(role: 'primary' | 'replica', server: TestServer): Promise<boolean> {
  const info = await redisCommand(server, 'INFO', 'replication');
  if (role === 'primary') return info.includes('role:master');
  return info.includes('role:slave') && info.includes('master_link_status:up');
}

/** Until a replica has all that its primary has. */
export const inStep = (primary: TestServer): Promise<void> =>
  until('a replica is in step', async () =>
    (await redisCommand(primary, 'WAIT', '1', '1000')).startsWith(':1'),
  );

/** A number in the reply to a command, behind its name. */
export async function numberIn(
  server: Pick<TestServer, 'host' | 'port'>,
  name: string,
  ...command: string[]
): Promise<number> {
  const reply = await redisCommand(server, ...command);
  return Number(new RegExp(`${name}(?::|\\r\\n\\$\\d+\\r\\n)(\\d+)`).exec(reply)?.[1]);
}

/** What is over is remembered for its fencing token. */
function isOver(value: string | null): boolean {
  if (value === null || /^\d{16}$/.test(value)) return true;
  return Number(/^holdfast:1 \w+ (\d+)/.exec(value)?.[1] ?? Infinity) < Date.now();
}

/** What is on a primary that should not be there when nobody locks any more. */
export async function leftOn(server: TestServer): Promise<string[]> {
  const admin = new Redis(server.port, server.host, { lazyConnect: true });
  admin.on('error', () => {});
  try {
    await admin.connect();
    const keys = await admin.keys('*');
    const values = await Promise.all(keys.map((name) => admin.get(name).catch(() => 'a queue')));
    const names = keys.filter((_, index) => !isOver(values[index] ?? null));
    const channels = (await admin.pubsub('CHANNELS', 'holdfast:*')) as string[];
    const list = String(await admin.client('LIST'))
      .trim()
      .split('\n');
    // But for this one, for replicas and their primaries, and for Sentinel.
    const clients = list.filter(
      (line) => !/ flags=[^ ]*[SM]| name=sentinel-| cmd=client/.test(line),
    );
    return [
      ...[...names, ...channels].map((name) => `${name} is left on a server.`),
      ...clients.map((client) => `A connection is left: ${client}.`),
    ];
  } finally {
    admin.disconnect();
  }
}
