import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** A kind of server, and the ways to get one. */
export interface ServerKind {
  readonly binaries: readonly string[];
  readonly debian: string;
  readonly brew: string;
  /** Absent where a container is of no use. */
  readonly docker?: string | undefined;
  /** The environment variable that names a server to use instead. */
  readonly variable: string;
  readonly example: string;
}

export const REDIS: ServerKind = {
  binaries: ['redis-server', 'valkey-server'],
  debian: 'redis-server',
  brew: 'redis',
  docker: '-p 6379:6379 redis:7',
  variable: 'REDIS_URL',
  example: 'redis://127.0.0.1:6379',
};

export const MEMCACHED: ServerKind = {
  binaries: ['memcached'],
  debian: 'memcached',
  brew: 'memcached',
  docker: '-p 11211:11211 memcached:1.6',
  variable: 'MEMCACHED_SERVERS',
  example: '127.0.0.1:11211',
};

export const CHROMIUM: ServerKind = {
  binaries: ['chromium', 'chromium-browser', 'google-chrome'],
  debian: 'chromium',
  brew: '--cask chromium',
  variable: 'CHROMIUM',
  example: '/usr/bin/chromium',
};

/** For what is compiled for a test. The package brings the C library's headers too. */
export const COMPILER: ServerKind = {
  binaries: ['cc', 'gcc', 'clang'],
  debian: 'g++',
  brew: 'gcc',
  variable: 'PATH',
  example: '<the folder of a C compiler>:$PATH',
};

const run = promisify(execFile);

async function onPath(names: readonly string[]): Promise<string | undefined> {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const file of names.flatMap((name) => folders.map((folder) => join(folder, name)))) {
    const usable = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return file;
  }
  return undefined;
}

async function aptInstall(kinds: readonly ServerKind[]): Promise<void> {
  const packages = kinds.map((kind) => kind.debian);
  console.log(`Installing ${packages.join(' and ')} with apt-get …`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...words: string[]): Promise<unknown> =>
    run('apt-get', ['-qq', '-y', '-o', 'DPkg::Lock::Timeout=120', ...words], { env });
  const install = ['install', '--no-install-recommends', ...packages];
  await apt(...install).catch(async () => {
    await apt('update');
    await apt(...install);
  });
}

/** What to tell somebody who has to get the servers by hand. */
export function howToGet(kinds: readonly ServerKind[]): string {
  const list = (pick: (kind: ServerKind) => string): string => kinds.map(pick).join(' ');
  const names = kinds.map((kind) => kind.binaries[0] as string).join(' and ');
  return [
    `${names} cannot be found. Any one of these will do:`,
    `  Debian, Ubuntu   sudo apt-get install -y ${list((kind) => kind.debian)}`,
    `  macOS            brew install ${list((kind) => kind.brew)}`,
    ...kinds.map(({ docker, variable, example }) =>
      docker === undefined
        ? `  elsewhere        set ${variable}=${example}`
        : `  Docker           docker run -d --rm ${docker}, then set ${variable}=${example}`,
    ),
  ].join('\n');
}

/**
 * The binary of each kind of server: from PATH, else from apt-get where that needs no question asked.
 *
 * @throws an error that says how to get those that are missing
 */
export async function ensureBinaries(kinds: readonly ServerKind[]): Promise<string[]> {
  const find = (): Promise<(string | undefined)[]> =>
    Promise.all(kinds.map((kind) => onPath(kind.binaries)));
  let found = await find();
  const missing = (): ServerKind[] => kinds.filter((_, index) => found[index] === undefined);
  const root = process.getuid?.() === 0;
  if (missing().length > 0 && root && (await onPath(['apt-get'])) !== undefined) {
    // Whatever apt-get says, the message below is the one that helps.
    await aptInstall(missing()).catch((error: unknown) => console.warn(String(error)));
    found = await find();
  }
  if (missing().length > 0) throw new Error(howToGet(missing()));
  return found as string[];
}
