/**
 * Packs every package as a release would, without publishing it, and looks into the archives: what users
 * need is there, once, and nothing points into the workspace. `changeset version` is tried on a copy.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Manifest {
  version: string;
  private?: boolean;
  peerDependencies?: Record<string, string>;
}

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

const problems: string[] = [];
const published = readdirSync('packages').filter(
  (name) => manifestOf(`packages/${name}`).private !== true,
);
const temporary = mkdtempSync(join(tmpdir(), 'holdfast-release-'));

/** Packs a package and unpacks it again. */
function packed(name: string): string {
  const into = join(temporary, name);
  const { npm_execpath: self = 'pnpm' } = process.env;
  const isScript = /\.[cm]?js$/.test(self);
  const args = ['pack', '--out', join(temporary, `${name}.tgz`)];
  const [command, first] = isScript ? [process.execPath, [self]] : [self, []];
  execFileSync(command, [...first, ...args], { cwd: `packages/${name}`, stdio: 'pipe' });
  execFileSync('mkdir', [into]);
  execFileSync('tar', ['-xzf', `${into}.tgz`, '-C', into, '--strip-components=1']);
  return into;
}

function checkPackage(name: string): void {
  const folder = packed(name);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const needed = ['README.md', 'LICENSE', 'package.json'];
  const { version, peerDependencies = {} } = manifestOf(folder);
  if (version !== '0.0.0') needed.push('CHANGELOG.md');
  for (const file of needed) if (!files.includes(file)) problems.push(`${name}: no ${file}`);
  for (const [peer, range] of Object.entries(peerDependencies)) {
    if (range.includes('workspace:')) problems.push(`${name}: peer ${peer} is ${range}`);
  }
  for (const file of files.filter((path) => /^dist\/.*\.d\.c?ts$/.test(path))) {
    if (!files.includes(`${file}.map`)) problems.push(`${name}: no map of ${file}`);
  }
  for (const file of files.filter((path) => path.endsWith('.map'))) {
    const map = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
      sources: string[];
      sourcesContent?: unknown[];
    };
    if (map.sourcesContent?.some((content) => typeof content === 'string') === true) {
      problems.push(`${name}: ${file} has the sources a second time`);
    }
    const missing = map.sources.filter((source) => !files.includes(join('dist', source)));
    if (missing.length > 0)
      problems.push(`${name}: ${file} names ${missing[0]}, which is not there`);
  }
  console.log(`${name} ${version}: ${files.length} files`);
}

/** The next version of each package, as a release would make it. */
function checkVersions(): void {
  const copy = join(temporary, 'repository');
  const left = /(^|\/)(node_modules|dist|\.turbo|\.git)(\/|$)/;
  cpSync('.', copy, { recursive: true, filter: (path) => !left.test(path) });
  symlinkSync(join(process.cwd(), 'node_modules'), join(copy, 'node_modules'));
  execFileSync('git', ['init', '-q'], { cwd: copy });
  execFileSync(process.execPath, ['--import', 'tsx', 'scripts/version.ts'], {
    cwd: copy,
    stdio: 'pipe',
  });
  const versions = new Set(
    published.map((name) => manifestOf(join(copy, 'packages', name)).version),
  );
  console.log(`next version: ${[...versions].join(', ')}`);
  if (versions.size !== 1) problems.push(`packages would have several versions`);
  const [next = ''] = versions;
  if (Number(next.split('.')[0]) > Number(manifestOf('packages/core').version.split('.')[0])) {
    problems.push(`the next version, ${next}, is a major one`);
  }
  for (const name of published) {
    const peers = Object.entries(manifestOf(join(copy, 'packages', name)).peerDependencies ?? {});
    for (const [peer, range] of peers.filter(([, text]) => text.startsWith('workspace:'))) {
      if (range !== 'workspace:^') problems.push(`${name}: peer ${peer} is left as ${range}`);
    }
  }
}

try {
  for (const name of published) checkPackage(name);
  checkVersions();
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
for (const problem of problems) console.error(`problem: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
