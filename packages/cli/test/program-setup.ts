import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The program, made of its sources. */
    program: string;
  }
}

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Bundles the sources once for a run, with what they depend on. Tests start the program two hundred times:
 * to compile it each time would take most of theirs, and to find and read the files of ioredis a third.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // From here the bundle finds what the package has installed.
  const cache = join(root, 'node_modules', '.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'program-'));
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  await build({
    config: false,
    entry: [join(root, 'src/main.ts')],
    outDir: join(folder, 'dist'),
    format: ['esm'],
    target: 'node20',
    platform: 'node',
    removeNodeProtocol: false,
    noExternal: [/^@holdfast\//, 'commander', 'ioredis'],
    external: ['jiti'],
    // By which the CommonJS of others finds Node's own modules.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    esbuildOptions: (options) => {
      options.conditions = ['@holdfast/source'];
    },
    silent: true,
  });
  project.provide('program', join(folder, 'dist', 'main.js'));
  return () => rm(folder, { recursive: true, force: true });
}
