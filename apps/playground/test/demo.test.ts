import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { freePort, useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';

const server = useRedis();
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const flags = ['--import', 'tsx', '--conditions=@holdfast/source'];

function demo(url: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [...flags, main], {
    encoding: 'utf8',
    env: { ...process.env, REDIS_URL: url },
  });
}

test('the demo loses money without locks, and balances with them', { timeout: 60_000 }, () => {
  const { status, stdout, stderr } = demo('');
  expect(stderr).toBe('');
  expect(stdout).toMatch(/1\. Without locks\n\s+✘ [\d,]+ updates lost, \d+ of 20 accounts off by/);
  expect(stdout).toMatch(/● A\d\d\+A\d\d #\d+/);
  expect(stdout).toMatch(/✔ nothing lost, the books balance to the cent/);
  expect(stdout).toMatch(/[1-9][\d,]* hand-offs, 0 locks lost\./);
  // Readable without a terminal: no escape codes.
  expect(stdout.includes('\u001B')).toBe(false);
  expect(status).toBe(0);
});

test('with REDIS_URL it does so in four processes', { timeout: 120_000 }, async () => {
  const { status, stdout, stderr } = demo(server.url);
  expect(stderr).toBe('');
  expect(stdout).toContain('posted by 4 processes at once');
  expect(stdout).toMatch(/1\. Without locks\n\s+✘ [\d,]+ updates lost, \d+ of 20 accounts off by/);
  // Tokens of Redis: µs since 1970.
  expect(stdout).toMatch(/● A\d\d\+A\d\d #\d{16}/);
  expect(stdout).toMatch(/✔ nothing lost, the books balance to the cent/);
  expect(stdout).toMatch(/2,000 times both accounts locked, .* 0 locks lost\./);
  expect(status).toBe(0);
  const client = new Redis(server.url);
  // What is left of a lock is its last fencing token.
  for (const name of await client.keys('*')) expect(await client.get(name)).toMatch(/^\d{16}$/);
  client.disconnect();
});

test('and says so when there is no Redis', { timeout: 60_000 }, async () => {
  const { status, stderr } = demo(`redis://127.0.0.1:${await freePort()}`);
  expect(stderr).toMatch(/No Redis at 127\.0\.0\.1:\d+ \(REDIS_URL\)/);
  expect(status).not.toBe(0);
});
