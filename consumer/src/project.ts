import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

/** A project outside the workspace that has installed what would be published. */
export interface ConsumerProject {
  readonly folder: string;
  remove(): Promise<void>;
}

/** What the shell needs to run pnpm: the one that runs this test, or the one the project names. */
async function pack(folder: string, into: string): Promise<string> {
  const args = ['pack', '--pack-destination', into];
  const pnpm = process.env['npm_config_user_agent']?.startsWith('pnpm') === true;
  const before = new Set(await readdir(into));
  await (pnpm
    ? run('pnpm', args, { cwd: folder })
    : run('npx', ['-y', 'pnpm@12.21.0', ...args], { cwd: folder }));
  const made = (await readdir(into)).find((file) => !before.has(file));
  if (made === undefined) throw new Error(`nothing was packed in ${folder}`);
  return join(into, made);
}

/**
 * Packs packages of the workspace, unpacks them as an installation would, and puts the fixtures beside
 * them. `links` are other packages, from the workspace.
 */
export async function makeConsumer(
  packages: readonly string[],
  links: Readonly<Record<string, string>>,
): Promise<ConsumerProject> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-consumer-'));
  const scope = join(folder, 'node_modules', '@holdfast');
  await mkdir(scope, { recursive: true });
  for (const name of packages) {
    const tarball = await pack(join(root, 'packages', name), folder);
    await mkdir(join(scope, name));
    await run('tar', ['-xzf', tarball, '-C', join(scope, name), '--strip-components=1']);
  }
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
  const clean = ['--exactOptionalPropertyTypes', '--skipLibCheck', 'false', '--noEmit'];
  return emit(version, folder, files, [...clean, ...options]);
}

/** Compiles some files into the same folder, strictly; what the compiler complains of. */
export async function emit(
  version: string,
  folder: string,
  files: readonly string[],
  options: readonly string[],
): Promise<string> {
  const tsc = join(root, 'consumer', 'node_modules', `typescript-${version}`, 'bin', 'tsc');
  const common = ['--strict', '--module', 'nodenext', '--target', 'es2022'];
  return run(process.execPath, [tsc, ...common, ...options, ...files], { cwd: folder }).then(
    () => '',
    ({ stdout }: { stdout: string }) => stdout,
  );
}

/** Runs a file of the project; its output. */
export async function execute(folder: string, file: string): Promise<string> {
  const { stdout } = await run(process.execPath, [file], { cwd: folder });
  return stdout.trim();
}
