import { redisBinary, startRedis, type TestServer } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect } from 'vitest';

/** What a quorum must say of itself, however many of its servers answer. */
export const quorumCapabilities = {
  fencing: 'none',
  wakeUp: 'poll',
  minTtl: 500,
  sharedClock: false,
  exactLoss: true,
} as const;

export interface ClientOptions {
  readonly keyPrefix?: string;
  readonly enableAutoPipelining?: boolean;
  readonly lazyConnect?: boolean;
}

/** Independent servers for one test file. */
export function useServers(size: number): readonly TestServer[] {
  const servers: TestServer[] = [];
  beforeAll(async () => {
    const started = Array.from({ length: size }, () => startRedis(redisBinary()));
    servers.push(...(await Promise.all(started)));
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
  });
  return servers;
}

/** A client that says nothing of errors: what fails is what the tests look at. */
export function clientOf(
  { host, port }: { host: string; port: number },
  options: ClientOptions = {},
): Redis {
  const client = new Redis({ host, port, ...options });
  client.on('error', () => {});
  return client;
}

/** A connected client for each server. */
export async function clientsOf(
  servers: readonly { host: string; port: number }[],
  options: ClientOptions = {},
): Promise<Redis[]> {
  const clients = servers.map((server) => clientOf(server, options));
  await Promise.all(
    clients.map((client) => new Promise<void>((resolve) => client.once('ready', () => resolve()))),
  );
  return clients;
}

/** For what takes its time on a busy machine. */
export const eventually = <T>(look: () => T): ReturnType<typeof expect.poll<T>> =>
  expect.poll(look, { timeout: 30_000 });
