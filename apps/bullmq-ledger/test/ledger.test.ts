// The application as it is started, by its output.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { redisBinary, useRedis } from '@holdfast/test-servers';
import { useBundle } from '@holdfast/test-servers/bundle';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';

const folder = fileURLToPath(new URL('..', import.meta.url));
const redis = useRedis();
const programs = useBundle(folder, ['src/main.ts', 'src/worker.ts']);

function launch(env: NodeJS.ProcessEnv, args: readonly string[] = []) {
  return spawn(process.execPath, [join(programs.folder, 'main.mjs'), ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs it to its end. */
async function start(env: NodeJS.ProcessEnv, args: readonly string[] = []) {
  const child = launch(env, args);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (text: Buffer) => (output.stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (output.stderr += text.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, pid: child.pid, ...output };
}

const timeout = 120_000;

function expectGood({ code, stdout, stderr }: Awaited<ReturnType<typeof start>>): void {
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^[\d,]+ transfers between 20 accounts, 3 workers/);
  // Without a lock, money is lost.
  expect(stdout).toMatch(/✘ 0 transfers missing, \d+ accounts off by/);
  expect(stdout.match(/✔ the books balance to the cent/g)).toHaveLength(2);
  expect(stdout.match(/✔ the transfers of each of 20 accounts are in order/g)).toHaveLength(2);
  // Progress while it runs, and that a worker was killed in the middle.
  expect(stdout.match(/of [\d,]+ posted\n/g)?.length).toBeGreaterThan(6);
  expect(stdout).toMatch(/\d of [\d,]+ posted \(one worker was killed\)/);
  const starts = [...stdout.matchAll(/([\d.]+) starts per job/g)].map(([, each]) => Number(each));
  expect(starts).toHaveLength(3);
  for (const each of starts) expect(each).toBeLessThanOrEqual(2);
  expect(stdout).toMatch(/With every account in order: \d+ % of the throughput without a lock/);
  expect(stdout).toMatch(/Nothing was lost, and nothing out of order\.\n$/);
  expect(code).toBe(0);
}

/** What it has written to the given Redis, and not removed. */
async function left(pid: number | undefined): Promise<string[]> {
  const client = new Redis(redis.url);
  const keys = await client.keys(`*ledger-${pid}-*`);
  client.disconnect();
  return keys;
}

test(
  'it balances its transfers on a Redis that is given, and leaves nothing there',
  { timeout },
  async () => {
    const result = await start({ REDIS_URL: redis.url, LEDGER_TRANSFERS: '300' });
    expectGood(result);
    expect(result.stdout).toMatch(/^300 transfers/);
    expect(await left(result.pid)).toEqual([]);
  },
);

describe('the ledger', () => {
  test('it starts a redis-server itself', { timeout }, async () => {
    const PATH = `${dirname(redisBinary())}:${process.env['PATH']}`;
    const result = await start({ REDIS_URL: '', PATH, LEDGER_TRANSFERS: '150' });
    expect(result.stdout).toContain('on a redis-server of its own');
    expectGood(result);
  });

  test('it does the same by a client of node-redis', { timeout }, async () => {
    const env = { REDIS_URL: redis.url, LEDGER_TRANSFERS: '150' };
    const result = await start(env, ['--client', 'node-redis']);
    expect(result.stdout).toContain('on the Redis of REDIS_URL, by node-redis\n');
    expectGood(result);
    expect(await left(result.pid)).toEqual([]);
  });

  test('it says which clients there are', { timeout }, async () => {
    const { code, stdout, stderr } = await start({}, ['--client', 'other']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toBe('There is one option: --client ioredis|node-redis.\n');
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'it leaves nothing behind when it is stopped by %s in the middle',
    { timeout },
    async (signal) => {
      const child = launch({ REDIS_URL: redis.url });
      const closed = once(child, 'close');
      let stdout = '';
      child.stdout.on('data', (text: Buffer) => {
        stdout += text.toString();
        if (stdout.includes('1. ') && stdout.includes(' of 2,000 posted')) child.kill(signal);
      });
      expect(await closed).toEqual([signal === 'SIGTERM' ? 143 : 130, null]);
      expect(await left(child.pid)).toEqual([]);
    },
  );

  test('it says what it needs where there is no Redis', { timeout }, async () => {
    const { code, stdout, stderr } = await start({ REDIS_URL: '', PATH: '/nonexistent' });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^This needs a Redis server\. Any of these will do:/);
    const away = await start({ REDIS_URL: 'redis://127.0.0.1:1' });
    expect(away.code).toBe(1);
    expect(away.stderr).toMatch(/^Nobody answers at REDIS_URL\./);
  });
});
