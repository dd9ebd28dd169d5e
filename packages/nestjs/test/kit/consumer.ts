import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll } from 'vitest';

const run = promisify(execFile);
const packages = join(import.meta.dirname, '..', '..', '..');

export const MAJORS = [10, 11, 12] as const;

/** What an application has besides the packages under test. */
const OTHERS = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-express',
  'reflect-metadata',
  'rxjs',
];

/** A folder with the packed packages installed, as somebody's application has it. */
export interface Consumer {
  readonly folder: string;
  remove(): Promise<void>;
}

/** Packs `@holdfast/core` and `@holdfast/nestjs`, and installs them beside one version of Nest. */
export async function installPacked(nest: (typeof MAJORS)[number]): Promise<Consumer> {
  // Of which nothing above has a node_modules folder.
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'holdfast-nestjs-')));
  const modules = join(folder, 'node_modules');
  for (const name of ['core', 'nestjs']) await unpack(name, join(modules, '@holdfast', name));
  const on = nest === 12 ? '' : `test/on-nest${nest}`;
  for (const name of OTHERS) {
    await link(join(packages, 'nestjs', on, 'node_modules', name), join(modules, name));
  }
  await link(
    join(packages, '..', 'node_modules', '@types', 'node'),
    join(modules, '@types', 'node'),
  );
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Where a package is packed, once for a test file. */
const archives = new Map<string, Promise<string>>();

afterAll(async () => {
  for (const archive of await Promise.allSettled(archives.values())) {
    if (archive.status !== 'fulfilled') continue;
    await rm(dirname(archive.value), { recursive: true, force: true });
  }
});

async function unpack(name: string, to: string): Promise<void> {
  const archive = archives.get(name) ?? pack(name);
  archives.set(name, archive);
  await mkdir(to, { recursive: true });
  await run('tar', ['-xzf', await archive, '--strip-components=1', '-C', to]);
}

async function pack(name: string): Promise<string> {
  const from = join(packages, name);
  await stat(join(from, 'dist', 'index.js')).catch(() => {
    throw new Error(`${name} is not built: run \`turbo run build\` first.`);
  });
  const to = await mkdtemp(join(tmpdir(), 'holdfast-packed-'));
  const packing = ['pack', '--json', '--ignore-scripts', '--pack-destination', to];
  const { stdout } = await run('npm', packing, { cwd: from });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  return join(to, filename);
}

async function link(target: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await symlink(await realpath(target), path);
}

/** Runs a program of the consumer's, and gives what it printed. */
export async function runIn({ folder }: Consumer, file: string, source: string): Promise<string> {
  await writeFile(join(folder, file), source);
  const { stdout } = await run(process.execPath, [file], { cwd: folder });
  return stdout;
}

/** The compiler of one version. */
function compilerOf(version: string): string {
  const require = createRequire(join(packages, 'nestjs', 'package.json'));
  const name = version === '6.0' ? 'typescript' : `typescript-${version}`;
  return join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'tsc');
}

export interface Compilation {
  readonly code: number;
  readonly output: string;
}

/** Compiles files of the consumer's. */
export async function compileIn(
  { folder }: Consumer,
  version: string,
  files: readonly string[],
  types: readonly string[] = ['--types', 'node'],
): Promise<Compilation> {
  const flags = '--noEmit --strict --exactOptionalPropertyTypes --experimentalDecorators';
  const values =
    '--module nodenext --target es2022 --lib es2022 --pretty false --skipLibCheck false';
  const options = [...types, ...flags.split(' '), ...values.split(' ')];
  const finished = run(process.execPath, [compilerOf(version), ...options, ...files], {
    cwd: folder,
    maxBuffer: 2 ** 26,
  });
  return finished.then(
    ({ stdout }) => ({ code: 0, output: stdout }),
    ({ code, stdout }: { code: number; stdout: string }) => ({ code, output: stdout }),
  );
}
