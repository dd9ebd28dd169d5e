// The built program, as it is installed: without a loader for TypeScript, and with a file in it.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { folder } from './kit.ts';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

async function built(args: readonly string[], cwd: string): Promise<string> {
  if (!existsSync(main)) throw new Error('The package is not built: run `pnpm build` first.');
  return (await run(process.execPath, [main, ...args], { cwd })).stdout;
}

test('a holdfast.config.ts is read by any Node that is supported', async () => {
  const cwd = folder(here);
  writeFileSync(
    join(cwd, 'holdfast.config.ts'),
    `import { createLocker, type Locker } from '@holdfast/core';
     const locker: Locker = createLocker({ label: 'typed' });
     await locker.lock('order:42');
     export default locker;`,
  );
  const [lock] = JSON.parse(await built(['ls', '--json'], cwd)) as { key: string; label: string }[];
  expect(lock).toMatchObject({ key: 'order:42', label: 'typed' });
});

test('it knows its version, and begins as a program must', async () => {
  const { version } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  expect((await built(['--version'], folder())).trim()).toBe(version);
  expect(readFileSync(main, 'utf8').startsWith('#!/usr/bin/env node\n')).toBe(true);
});
