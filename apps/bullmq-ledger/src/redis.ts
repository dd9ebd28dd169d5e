import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { Redis } from 'ioredis';

const HOW = `This needs a Redis server. Any of these will do:

  REDIS_URL=redis://127.0.0.1:6379 npx -y pnpm@12.21.0 --filter @holdfast/bullmq-ledger start
  apt-get install redis-server      (or: brew install redis; a server of its own is started then)
  docker run --rm -p 6379:6379 redis:7      (and REDIS_URL as above)`;

/** An error that says what to do, and needs no stack. */
export class Advice extends Error {}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Starts a redis-server with nothing in it, which ends with this process; its address. */
async function start(binary: string): Promise<string | undefined> {
  const port = await freePort();
  const options = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
  ];
  const child = spawn(binary, options, { stdio: ['ignore', 'pipe', 'ignore'] });
  process.once('exit', () => child.kill('SIGKILL'));
  return new Promise((resolve) => {
    child.once('error', () => resolve(undefined));
    child.once('exit', () => resolve(undefined));
    child.stdout.on('data', (text: Buffer) => {
      if (text.includes('Ready to accept connections')) resolve(`redis://127.0.0.1:${port}`);
    });
  });
}

/**
 * The Redis that REDIS_URL names, else one that is started for this run.
 *
 * @throws Advice
 */
export async function findRedis(): Promise<{ readonly url: string; readonly own: boolean }> {
  const given = process.env['REDIS_URL'];
  if (given !== undefined && given !== '') {
    const client = new Redis(given, { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {});
    try {
      await client.connect();
    } catch {
      throw new Advice(`Nobody answers at REDIS_URL.\n\n${HOW}`);
    }
    client.disconnect();
    return { url: given, own: false };
  }
  const url = (await start('redis-server')) ?? (await start('valkey-server'));
  if (url === undefined) throw new Advice(HOW);
  return { url, own: true };
}
