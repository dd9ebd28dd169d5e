import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { freePort, useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';

const server = useRedis();
/** As it is built. */
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const command = [process.execPath, main];
const cwd = fileURLToPath(new URL('..', import.meta.url));
const environment = (url: string) => ({
  ...process.env,
  REDIS_URL: url,
  TERM: 'xterm',
  NO_COLOR: '',
});

function demo(url: string): { status: number | null; stdout: string; stderr: string } {
  const [file = '', ...words] = command;
  return spawnSync(file, words, { encoding: 'utf8', cwd, env: environment(url) });
}

/** What both ways of showing it have in common. */
function expectStory(text: string): void {
  const [, first, second] =
    /billing holds account A07, token (\d+)[^]*larger token (\d+)/.exec(text) ?? [];
  expect(Number(second)).toBeGreaterThan(Number(first));
  const at = (what: string): number => text.indexOf(what);
  expect(at('cut off')).toBeGreaterThan(0);
  expect(at("billing's signal: The lock is lost")).toBeGreaterThan(at('cut off'));
  expect(at('orders holds it')).toBeGreaterThan(at("billing's signal"));
  expect(text).toMatch(/billing writes all the same, late: refused, its token is behind \d+/);
  expect(text).toMatch(/without locks\n\s+✘ [\d,]+ updates lost, \d+ of 20 accounts off by/);
  expect(text).toMatch(/● A\d\d\+A\d\d #\d+/);
  expect(text).toMatch(/✔ nothing lost, the books balance to the cent/);
  expect(text).toMatch(/[1-9][\d,]* hand-overs without a request, 0 locks lost/);
  // Readable without a terminal: no escape codes.
  expect(text.includes('\u001B')).toBe(false);
}

test('a holder is warned, the next has a larger token, a late write is refused, and the books balance', () => {
  const { status, stdout, stderr } = demo('');
  expect(stderr).toBe('');
  expectStory(stdout);
  expect(stdout).toContain('2,000 transfers between 20 accounts by 4 services');
  expect(status).toBe(0);
});

test('with REDIS_URL it shows the same, with transfers by four processes', async () => {
  const { status, stdout, stderr } = demo(server.url);
  expect(stderr).toBe('');
  expectStory(stdout);
  expect(stdout).toContain('400 transfers between 20 accounts by 4 processes');
  // Tokens of Redis: µs since 1970.
  expect(stdout).toMatch(/● A\d\d\+A\d\d #\d{16}/);
  expect(status).toBe(0);
  const client = new Redis(server.url);
  onTestFinished(() => client.disconnect());
  // What a server remembers of a lock that is free is its token.
  expect((await client.keys('holdfast-demo:*')).filter((key) => !key.includes('account'))).toEqual(
    [],
  );
});

test('the demo says so when there is no Redis', async () => {
  const { status, stderr } = demo(`redis://127.0.0.1:${await freePort()}`);
  expect(stderr).toMatch(/No Redis at 127\.0\.0\.1:\d+ \(REDIS_URL\)/);
  expect(status).not.toBe(0);
});

describe.skipIf(process.platform !== 'linux')(
  'on a terminal (script of util-linux makes one)',
  () => {
    test('it is one screen of 80 by 24 that is drawn again and again', () => {
      const words = command.map((word) => `'${word}'`).join(' ');
      const { stdout, status } = spawnSync(
        'script',
        ['-qec', `stty cols 80 rows 24; ${words}`, '/dev/null'],
        {
          encoding: 'utf8',
          cwd,
          env: environment(''),
        },
      );
      expect(status).toBe(0);
      const frames = stdout
        .split('\u001B[H')
        .map((frame) => stripVTControlCharacters(frame).replaceAll('\r', '').trimEnd().split('\n'));
      expect(frames.length).toBeGreaterThan(20);
      for (const lines of frames) {
        expect(lines.length).toBeLessThanOrEqual(24);
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
      }
      const last = (frames.at(-1) ?? []).join('\n');
      expect(last).toMatch(/its signal fires[^]*billing writes late: ✔ refused[^]*nothing lost/);
    });
  },
);

test('with --board it serves a page of what it does until it is ended', async () => {
  const [file = '', ...words] = command;
  const running = spawn(file, [...words, '--board'], {
    cwd,
    env: environment(''),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void running.kill('SIGKILL'));
  let said = '';
  const url = await new Promise<string>((resolve) => {
    running.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const [, found] = /The board: (http:\S+)/.exec(said) ?? [];
      if (found !== undefined) resolve(found);
    });
  });
  expect((await fetch(url)).headers.get('content-type')).toContain('text/html');
  const held = async (): Promise<string> => (await fetch(`${url}api/locks`)).text();
  await expect.poll(held, { timeout: 20_000 }).toMatch(/report:nightly.*"waiters":4/);
  running.kill('SIGINT');
  const [code] = (await once(running, 'exit')) as [number | null];
  expect(code).toBe(0);
});
