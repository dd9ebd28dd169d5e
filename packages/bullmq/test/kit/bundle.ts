import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import { afterAll, beforeAll } from 'vitest';
import { onBullmq } from './index.ts';

const programs = fileURLToPath(new URL('../programs', import.meta.url));
// Where its peers are those that the tests run on.
export const home = new URL(
  onBullmq === undefined ? '../../' : `../on-bullmq${onBullmq}/`,
  import.meta.url,
);

/** A program with our sources in it, for processes and threads of its own that need no loader. */
export function useProgram(name: string): { readonly file: string } {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(fileURLToPath(new URL('node_modules/.holdfast-', home)));
    await build({
      entry: [join(programs, `${name}.ts`)],
      outDir: folder,
      format: ['cjs'],
      target: 'node20',
      config: false,
      silent: true,
      splitting: false,
      noExternal: [/^@holdfast\//],
      outExtension: () => ({ js: '.cjs' }),
      esbuildOptions: (options) => {
        options.conditions = ['@holdfast/source'];
      },
    });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return {
    get file(): string {
      return join(folder, `${name}.cjs`);
    },
  };
}
