import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { unpack } from '@holdfast/test-servers';
import { compile } from '@holdfast/test-servers/typescript';

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

/** Installs the packed `@holdfast/core` and `@holdfast/nestjs` beside one version of Nest. */
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
  return dirname(require.resolve(`${name}/package.json`));
}

/** Compiles files of the consumer's; what the compiler says of them. */
export function compileIn(
  { folder }: Consumer,
  version: string,
  files: readonly string[],
  types: readonly string[] = ['--types', 'node'],
): Promise<string> {
  const flags = '--noEmit --strict --exactOptionalPropertyTypes --experimentalDecorators';
  const values = '--module nodenext --target es2022 --lib es2022';
  // All types but those of the compiler itself, which would take most of the time.
  const checked = '--skipLibCheck false --skipDefaultLibCheck';
  const options = [...types, ...[flags, values, checked].flatMap((some) => some.split(' '))];
  return compile(compilerOf(version), folder, [...options, ...files]);
}
