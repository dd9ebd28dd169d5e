import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { newestNode } from '../../../newest-node/src/releases.ts';

/** One for all projects, of which each has this module once more. */
const shared = globalThis as { holdfastCompiler?: Promise<string> };

/**
 * Starts the process that compiles, for all that is compiled in a run. To load a compiler, to parse the
 * libraries and to run code that is not optimised yet takes most of the time, and would be done in each
 * worker again. Node 20 needs longer for it than the newest.
 */
async function start(): Promise<string> {
  const child = fork(join(import.meta.dirname, 'compiler-process.ts'), {
    execPath: newestNode ?? process.execPath,
    execArgv: ['--import', 'tsx'],
    cwd: import.meta.dirname,
  });
  const [port] = (await once(child, 'message')) as [number];
  // It ends with this process.
  child.unref();
  child.channel?.unref();
  return `http://127.0.0.1:${port}`;
}

export async function setup(project: TestProject): Promise<void> {
  shared.holdfastCompiler ??= start();
  project.provide('compiler', await shared.holdfastCompiler);
}
