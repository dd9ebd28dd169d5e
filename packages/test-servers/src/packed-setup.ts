import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * Packs all packages as they would be published, once for a run: most of the time of packing is to start
 * the packer.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-packed-'));
  const args = ['--recursive', '--filter', './packages/*', 'pack', '--pack-destination', folder];
  // The pnpm that runs this test, or the one that the project names.
  if (process.env['npm_config_user_agent']?.startsWith('pnpm') === true) {
    await run('pnpm', args, { cwd: root });
  } else {
    const manifest = await readFile(join(root, 'package.json'), 'utf8');
    const { packageManager } = JSON.parse(manifest) as { packageManager: string };
    await run('npx', ['-y', packageManager, ...args], { cwd: root });
  }
  project.provide('packed', folder);
  return () => rm(folder, { recursive: true, force: true });
}
