import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { unpack } from '@holdfast/test-servers';
import { compile as compileWith } from '@holdfast/test-servers/typescript';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

/** A project outside the workspace that has installed what would be published. */
export interface ConsumerProject {
  readonly folder: string;
  remove(): Promise<void>;
}

/**
 * Unpacks packed packages of the workspace as an installation would, and puts the fixtures beside them.
 * `links` are other packages, from the workspace.
 */
export async function makeConsumer(
  packages: readonly string[],
  links: Readonly<Record<string, string>>,
): Promise<ConsumerProject> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'holdfast-consumer-')));
  const scope = join(folder, 'node_modules', '@holdfast');
  await mkdir(scope, { recursive: true });
  for (const name of packages) await unpack(name, join(scope, name));
  for (const [name, target] of Object.entries(links)) {
    const link = join(folder, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, target), link);
  }
  await cp(fixtures, folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }\n');
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** The complaints of a TypeScript about some files, empty if there are none. */
export function compile(
  version: string,
  folder: string,
  files: readonly string[],
  options: readonly string[],
): Promise<string> {
  // All types but those of the compiler itself, which would take most of the time.
  const checked = ['--skipLibCheck', 'false', '--skipDefaultLibCheck'];
  const strict = ['--exactOptionalPropertyTypes', '--noEmit'];
  return emit(version, folder, files, [...checked, ...strict, ...options]);
}

/** Compiles some files into the same folder, strictly; what the compiler complains of. */
export function emit(
  version: string,
  folder: string,
  files: readonly string[],
  options: readonly string[],
): Promise<string> {
  const compiler = join(root, 'consumer', 'node_modules', `typescript-${version}`);
  const common = ['--strict', '--module', 'nodenext', '--target', 'es2022'];
  return compileWith(compiler, folder, [...common, ...options, ...files]);
}

/** Runs a file of the project; its output. */
export async function execute(folder: string, file: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [file, ...args], { cwd: folder });
  return stdout.trim();
}
