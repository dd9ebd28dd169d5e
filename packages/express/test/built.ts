import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));

/** Packages by name: the folder of each. */
export type Packages = Readonly<Record<string, string>>;

/** Folders of packages that `from`, a folder of this package, has installed. */
export function installed(names: readonly string[], from = '.'): Packages {
  const folder = (name: string): string => join(packageFolder, from, 'node_modules', name);
  return Object.fromEntries(names.map((name) => [name, realpathSync(folder(name))]));
}

/**
 * A project with the built package, as a pnpm workspace without hoisting has it: the project sees only
 * what it depends on itself, and the package only its peers.
 */
export function projectWith(own: Packages, peers: Packages = own): string {
  const dist = join(packageFolder, 'dist');
  if (!existsSync(dist)) throw new Error('The package is not built: run `pnpm build` first.');
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-express-')));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const store = join(root, 'node_modules/.pnpm/@holdfast+express/node_modules');
  const home = join(store, '@holdfast/express');
  mkdirSync(home, { recursive: true });
  cpSync(dist, join(home, 'dist'), { recursive: true });
  cpSync(join(packageFolder, 'package.json'), join(home, 'package.json'));
  const link = (from: string, to: string): void => {
    mkdirSync(dirname(to), { recursive: true });
    symlinkSync(from, to);
  };
  for (const [name, from] of Object.entries(peers)) link(from, join(store, name));
  const project = join(root, 'apps/orders');
  for (const [name, from] of Object.entries({ ...own, '@holdfast/express': home })) {
    link(from, join(project, 'node_modules', name));
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  return project;
}
