import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'tsup';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The service in one file. */
    program: string;
  }
}

const root = join(import.meta.dirname, '..');

/** What Nest looks for, and does without; and what has a part that is no JavaScript. */
const EXTERNAL = [
  '@nestjs/microservices',
  '@nestjs/websockets',
  '@fastify/*',
  'class-transformer',
  'class-validator',
  '@libsql/client',
];

/**
 * Makes one file of the service that is built and all that it depends on, once for a run. To find and read
 * the thousand files of Nest takes two thirds of a start, and tests start it two dozen times.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // From here the bundle finds what the package has installed, and Swagger its own page from where it is.
  const cache = join(root, 'node_modules', '.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'program-'));
  const swagger = await realpath(join(root, 'node_modules', '@nestjs', 'swagger', 'package.json'));
  await build({
    config: false,
    entry: [join(root, 'dist', 'main.js')],
    outDir: folder,
    outExtension: () => ({ js: '.mjs' }),
    format: ['esm'],
    target: 'node20',
    platform: 'node',
    removeNodeProtocol: false,
    noExternal: [/./],
    splitting: false,
    keepNames: true,
    esbuildOptions: (options) => {
      options.external = EXTERNAL;
      options.banner = {
        js: `import { createRequire as requireFrom } from 'node:module';
const require = requireFrom(${JSON.stringify(swagger)});
const __dirname = import.meta.dirname;
const __filename = import.meta.filename;`,
      };
    },
    silent: true,
  });
  project.provide('program', join(folder, 'main.mjs'));
  return () => rm(folder, { recursive: true, force: true });
}
