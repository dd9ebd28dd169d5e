import { realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bundle } from '@holdfast/test-servers/bundle';
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
  // From where Swagger finds its own page.
  const swagger = await realpath(join(root, 'node_modules', '@nestjs', 'swagger', 'package.json'));
  const folder = await bundle(root, ['dist/main.js'], {
    skipNodeModulesBundle: false,
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
  });
  project.provide('program', join(folder, 'main.mjs'));
  return () => rm(folder, { recursive: true, force: true });
}
