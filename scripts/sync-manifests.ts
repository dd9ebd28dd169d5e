/**
 * Writes into every published package what is the same for all: repository, home page, issues and how
 * it is published. The root's `package.json` is the one place where the address stands.
 *
 * `--check` changes nothing and exits with 1 if a manifest is out of date.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

interface Manifest {
  private?: boolean;
  [field: string]: unknown;
}

const root = JSON.parse(readFileSync('package.json', 'utf8')) as {
  repository: { type: string; url: string };
  homepage: string;
  bugs: { url: string };
};

function shared(folder: string): Record<string, unknown> {
  return {
    homepage: `${root.homepage}/tree/main/packages/${folder}#readme`,
    bugs: root.bugs,
    repository: { ...root.repository, directory: `packages/${folder}` },
    publishConfig: { access: 'public', provenance: true },
  };
}

const check = process.argv.includes('--check');
let outdated = 0;
for (const folder of readdirSync('packages')) {
  const file = `packages/${folder}/package.json`;
  const text = readFileSync(file, 'utf8');
  const manifest = JSON.parse(text) as Manifest;
  if (manifest.private === true) continue;
  const fields = Object.entries(shared(folder));
  // The formatter orders the fields, so that only their contents count.
  if (fields.every(([name, value]) => JSON.stringify(manifest[name]) === JSON.stringify(value))) {
    continue;
  }
  outdated += 1;
  console.log(`${check ? 'out of date' : 'written'}: ${file}`);
  if (check) continue;
  Object.assign(manifest, Object.fromEntries(fields));
  writeFileSync(file, `${JSON.stringify(manifest, undefined, 2)}\n`);
}
if (check && outdated > 0) {
  console.error('Run `pnpm sync:manifests`.');
  process.exitCode = 1;
}
