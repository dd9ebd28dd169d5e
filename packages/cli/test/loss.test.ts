import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedis, type TestServer } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { folder, Holdfast, program } from './kit.ts';

/** How often; more of them show more. */
const RUNS = Number(process.env['HOLDFAST_LOSS_RUNS'] ?? 5);
const TTL = 1_500;

let server: TestServer;
beforeAll(async () => {
  server = await startRedis(redisBinary());
});
afterAll(async () => {
  server.thaw();
  await server.stop();
});

test.each(Array.from({ length: RUNS }, (_, index) => index / RUNS))(
  'with a frozen Redis the command is dead before its lock is another’s (phase %f)',
  async (phase) => {
    const path = join(folder(), 'beats');
    const url = `redis://${server.host}:${server.port}`;
    const command = ['--', process.execPath, program('heart.mjs'), path];
    const running = Holdfast.start([
      'run',
      'frozen',
      '--url',
      url,
      '--ttl',
      `${TTL}ms`,
      ...command,
    ]);
    await running.says('beats');
    const client = new Redis(url);
    const other = createLocker({ store: redisStore(client), ttl: TTL });
    const next = other.lock('frozen');
    // Anywhere between two renewals.
    await sleep((phase * TTL) / 3);
    server.freeze();
    // It comes back as the lease ends, and grants the lock to whoever asks first.
    await sleep(TTL * (0.85 + 0.3 * ((phase * 7) % 1)));
    server.thaw();
    const { code, stderr } = await running.result;
    const lock = await next;
    const beats = readFileSync(path, 'utf8').trim().split('\n');
    const lastBeat = Number(beats.findLast((line) => !line.startsWith('TERM')));
    const asked = beats.find((line) => line.startsWith('TERM'))?.slice(5);
    await other.close();
    client.disconnect();
    // Its token is the server's time of the grant in µs, on the clock of this machine.
    expect(lastBeat).toBeLessThan(lock.fencingToken / 1_000);
    expect(stderr).toContain('stopping the command');
    expect(code).toBe(137);
    // It was asked first, and had time to tidy up, unless the machine stood still for so long that the
    // lease was over when the wrapper ran again.
    const wasEarly = stderr.includes('before the lock can be another’s');
    expect(wasEarly ? lastBeat - Number(asked) : 1).toBeGreaterThan(0);
  },
);
