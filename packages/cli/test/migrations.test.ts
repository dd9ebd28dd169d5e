import { useRedis } from '@holdfast/test-servers';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { folder, holdfast, program } from './kit.ts';

const server = useRedis();

test('replicas that all run the migrations at their start run each of them once', async () => {
  const cwd = folder();
  const replica = (): ReturnType<typeof holdfast> =>
    holdfast(['run', 'migrate', '--', process.execPath, program('migrate.mjs'), 'up'], {
      cwd,
      env: { REDIS_URL: server.url },
    });
  const replicas = await Promise.all([replica(), replica(), replica(), replica()]);
  expect(replicas.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  const names = ['01-accounts', '02-orders', '03-index'];
  const expected = names.map((name) => `begin ${name}\nend ${name}\n`).join('');
  expect(readFileSync(join(cwd, 'applied'), 'utf8')).toBe(expected);
});
