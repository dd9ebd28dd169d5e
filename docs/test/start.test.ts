import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { useRedis } from '@holdfast/test-servers';
import { afterAll, expect, test } from 'vitest';
import { codeOf } from './code.ts';

const redis = useRedis();
const folder = fileURLToPath(new URL('.blocks/start/', import.meta.url));
const started: ChildProcess[] = [];
afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
});

/** Starts a program of the page, as its reader does. */
function start(file: string): { child: ChildProcess; lines: AsyncIterator<string> } {
  const child = spawn(
    process.execPath,
    ['--conditions=@holdfast/source', '--import', 'tsx', file],
    {
      cwd: folder,
      env: { ...process.env, REDIS_URL: redis.url, PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  started.push(child);
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

const [first, server] = codeOf('start.md', 'js') as [string, string];
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}first.js`, first);
writeFileSync(`${folder}server.js`, server);

test('the first program, run twice at once, prints two growing tokens and ends by itself', async () => {
  const runs = [start('first.js'), start('first.js')];
  const tokens: number[] = [];
  await Promise.all(
    runs.map(async ({ child, lines }) => {
      const { value } = (await lines.next()) as { value: string };
      tokens.push(Number(/^holding, fencing token (\d+)$/.exec(value)?.[1]));
      if (child.exitCode === null) await once(child, 'exit');
      expect(child.exitCode).toBe(0);
    }),
  );
  expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Infinity);
});

test('the route of the page pays an order once on two instances, and both end on SIGTERM', async () => {
  const instances = [start('server.js'), start('server.js')];
  const answers = instances.map(async ({ lines }) => {
    const { value } = (await lines.next()) as { value: string };
    const [, port] = /^listening on (\d+)$/.exec(value) ?? [];
    const url = `http://127.0.0.1:${port}/orders/7/pay`;
    const answer = await fetch(url, { method: 'POST', headers: { connection: 'close' } });
    return (await answer.json()) as { paid: boolean; again: boolean; fence?: number };
  });
  const [one, two] = await Promise.all(answers);
  expect([one?.paid, two?.paid]).toEqual([true, true]);
  expect(new Set([one?.again, two?.again])).toEqual(new Set([false, true]));
  expect(one?.fence ?? two?.fence).toBeGreaterThan(0);
  for (const { child } of instances) {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    expect(child.exitCode).toBe(0);
  }
});
