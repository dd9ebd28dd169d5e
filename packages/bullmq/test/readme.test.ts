// The first example of the README, as it is pasted into an empty project.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import { expect, test } from 'vitest';
import { home } from './kit/bundle.ts';
import { Site } from './kit/index.ts';

const site = new Site();
const readme = fileURLToPath(new URL('../README.md', import.meta.url));

test('the first example of the README runs with what its install line brings', async () => {
  const text = await readFile(readme, 'utf8');
  const [, install = ''] = /```sh\nnpm install (.+)\n```/.exec(text) ?? [];
  const [, example = ''] = /```ts\n(.+?)```/s.exec(text) ?? [];
  const imported = Array.from(example.matchAll(/from '(.+?)'/g), ([, name = '']) => name);
  expect(new Set(install.split(' '))).toEqual(new Set(imported));

  const folder = await mkdtemp(fileURLToPath(new URL('node_modules/.holdfast-', home)));
  site.atEnd(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'index.ts'), example.replace('6379', String(site.connection.port)));
  await build({
    entry: [join(folder, 'index.ts')],
    outDir: folder,
    format: ['esm'],
    target: 'node20',
    config: false,
    silent: true,
    external: ['bullmq', 'ioredis'],
    noExternal: [/^@holdfast\//],
    outExtension: () => ({ js: '.mjs' }),
    esbuildOptions: (options) => {
      options.conditions = ['@holdfast/source'];
      options.alias = Object.fromEntries(
        ['core', 'redis', 'bullmq'].map((name) => [
          `@holdfast/${name}`,
          fileURLToPath(new URL(`../../${name}/src/index.ts`, import.meta.url)),
        ]),
      );
    },
  });
  const child = spawn(process.execPath, [join(folder, 'index.mjs')]);
  site.atEnd(async () => {
    const ended = once(child, 'exit');
    if (child.kill()) await ended;
  });
  let [stdout, stderr] = ['', ''];
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^42: 1999, fencing token \d+\n$/);
});
