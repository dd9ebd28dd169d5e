import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Options } from 'tsup';
import { afterAll, beforeAll } from 'vitest';

/**
 * Compiles programs, each into a file that Node runs without a loader: with one, most of the time of a
 * short process goes by before it begins.
 *
 * @param root of the package whose dependencies they find
 * @param entry their sources, relative to `root`
 * @param more options, in place of those that make one file of our own sources
 * @returns a folder of their own, with an `.mjs` of the name of each source
 */
export async function bundle(
  root: string,
  entry: readonly string[],
  more: Options = {},
): Promise<string> {
  const cache = join(root, 'node_modules', '.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'programs-'));
  await build({
    config: false,
    entry: entry.map((source) => join(root, source)),
    outDir: folder,
    outExtension: () => ({ js: '.mjs' }),
    format: ['esm'],
    target: 'node20',
    platform: 'node',
    removeNodeProtocol: false,
    skipNodeModulesBundle: true,
    noExternal: [/^@holdfast\//],
    esbuildOptions: (given) => {
      given.conditions = ['@holdfast/source'];
    },
    silent: true,
    ...more,
  });
  return folder;
}

/** The same, for the tests of the file that calls this. */
export function useBundle(root: string, entry: readonly string[]): { readonly folder: string } {
  let folder = '';
  beforeAll(async () => {
    folder = await bundle(root, entry);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return {
    get folder(): string {
      return folder;
    },
  };
}
