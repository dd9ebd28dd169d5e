// `pnpm test:node <major> [project…]`: the test suite, or projects of it, on another Node.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { releasePackage } from './releases.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [major = '', ...projects] = process.argv.slice(2);

/** The newest release of a major version, installed in a folder that version control ignores. */
function nodeOf(version: string): string {
  const name = releasePackage();
  if (name === undefined) {
    throw new Error(`No npm package holds Node for ${process.platform} on ${process.arch}.`);
  }
  const folder = join(root, 'node_modules', '.cache', 'nodes', version);
  // Not what an import would find, which may be another version in a folder above.
  const binary = join(folder, 'node_modules', name, 'bin', 'node');
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund'];
    const install = ['install', ...flags, `${name}@${version}`];
    execFileSync('npm', install, { cwd: folder, stdio: 'inherit' });
  }
  return binary;
}

if (!/^\d+(\.\d+){0,2}$/.test(major)) {
  console.error(
    'Usage: pnpm test:node <version> [project…], for example: pnpm test:node 24 express',
  );
  process.exit(64);
}
const node = nodeOf(major);
const found = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
if (!`${found}.`.startsWith(`v${major}.`)) throw new Error(`${node} is Node ${found}.`);
console.log(`Node ${found}`);
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const only = projects.flatMap((project) => ['--project', project]);
const { status } = spawnSync(node, [vitest, 'run', ...only], { cwd: root, stdio: 'inherit' });
process.exit(status ?? 1);
