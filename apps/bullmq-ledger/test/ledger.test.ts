// The application as it is started, by its output.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { redisBinary, useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('..', import.meta.url));
const command = ['--import', 'tsx', '--conditions=@holdfast/source', 'src/main.ts'];
const redis = useRedis();

/** Runs it to its end. */
async function start(env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, command, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (text: Buffer) => (output.stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (output.stderr += text.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...output };
}

const timeout = 300_000;

function expectGood({ code, stdout, stderr }: Awaited<ReturnType<typeof start>>): void {
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^2,000 transfers between 20 accounts, 3 workers/);
  expect(stdout.match(/✔ the books balance to the cent/g)).toHaveLength(2);
  expect(stdout.match(/✔ the transfers of each of 20 accounts are in order/g)).toHaveLength(2);
  // Progress while it runs, and that a worker was killed in the middle.
  expect(stdout.match(/of 2,000 posted\n/g)?.length).toBeGreaterThan(3);
  expect(stdout).toMatch(/\d of 2,000 posted \(one worker was killed\)/);
  const starts = [...stdout.matchAll(/([\d.]+) starts per job/g)].map(([, each]) => Number(each));
  expect(starts).toHaveLength(2);
  for (const each of starts) expect(each).toBeLessThanOrEqual(3);
  expect(stdout).toMatch(/Nothing was lost, and nothing out of order\.\n$/);
  expect(code).toBe(0);
}

test(
  'it balances on a Redis that is given, and leaves only tokens there',
  { timeout },
  async () => {
    expectGood(await start({ REDIS_URL: redis.url }));
    const client = new Redis(redis.url);
    const keys = await client.keys('*ledger*');
    client.disconnect();
    expect(keys).toEqual([]);
  },
);

test('it starts a redis-server itself', { timeout }, async () => {
  const PATH = `${dirname(redisBinary())}:${process.env['PATH']}`;
  const result = await start({ REDIS_URL: '', PATH });
  expect(result.stdout).toContain('on a redis-server of its own');
  expectGood(result);
});

test('it says what it needs where there is no Redis', { timeout }, async () => {
  const { code, stdout, stderr } = await start({ REDIS_URL: '', PATH: '/nonexistent' });
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^This needs a Redis server\. Any of these will do:/);
  const away = await start({ REDIS_URL: 'redis://127.0.0.1:1' });
  expect(away.code).toBe(1);
  expect(away.stderr).toMatch(/^Nobody answers at REDIS_URL\./);
});
