import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'tsup';
import { atMost, type Goal } from '../goals.ts';
import { inTurns, quick } from '../harness.ts';
import { table } from '../report.ts';

const execute = promisify(execFile);

/** All that are imported; the command line tool is run. */
const PACKAGES = [
  'core',
  'redis',
  'memcached',
  'express',
  'nestjs',
  'bullmq',
  'board',
  'opentelemetry',
  'testing',
] as const;
const FORMATS = ['ESM', 'CJS'] as const;
type Variant = `${(typeof PACKAGES)[number]} ${(typeof FORMATS)[number]}`;

const LOAD = {
  ESM: (file: URL) => `await import('${file.href}.js')`,
  CJS: (file: URL) =>
    `process.getBuiltinModule('module').createRequire('${file.href}')('${fileURLToPath(file)}.cjs')`,
};

/** How long a fresh process takes to load a package with its dependencies, in ms. */
async function loadTime(variant: Variant): Promise<number> {
  const [name, format] = variant.split(' ') as [string, keyof typeof LOAD];
  const load = LOAD[format](new URL(`../../../packages/${name}/dist/index`, import.meta.url));
  const code = `const at = performance.now(); ${load}; console.log(performance.now() - at); process.exit();`;
  const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', code]);
  return Number(stdout);
}

/** Bytes of a bundle with one name of core, minified, and that compressed. */
async function sizeOf(name: string): Promise<{ minified: number; compressed: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-size-'));
  try {
    const entry = join(folder, 'entry.ts');
    const core = fileURLToPath(import.meta.resolve('@holdfast/core'));
    await writeFile(entry, `export { ${name} } from ${JSON.stringify(core)};\n`);
    await build({
      entry: [entry],
      outDir: join(folder, 'out'),
      format: ['esm'],
      outExtension: () => ({ js: '.js' }),
      platform: 'node',
      target: 'node20',
      noExternal: [/.*/],
      minify: true,
      config: false,
      tsconfig: fileURLToPath(new URL('../../../tsconfig.base.json', import.meta.url)),
      silent: true,
    });
    const code = await readFile(join(folder, 'out', 'entry.js'));
    return { minified: code.length, compressed: gzipSync(code).length };
  } finally {
    await rm(folder, { recursive: true });
  }
}

const kB = (bytes: number): string => `${(bytes / 1_000).toFixed(1)} kB`;

/** What a start costs: the time to load each package, and what a bundle of core weighs. */
export async function run(): Promise<Goal[]> {
  const variants = PACKAGES.flatMap((name) =>
    FORMATS.map((format): Variant => `${name} ${format}`),
  );
  const ms = await inTurns(variants, quick ? 3 : 9, loadTime);
  const times: string[][] = [];
  for (const name of PACKAGES) {
    const [esm, cjs] = [ms[`${name} ESM`], ms[`${name} CJS`]];
    times.push([`@holdfast/${name}`, `${esm.toFixed(1)} ms`, `${cjs.toFixed(1)} ms`]);
  }
  table('Loading a package, with its dependencies, in a fresh process', ['', ...FORMATS], times);
  const all = await sizeOf('createLocker');
  const error = await sizeOf('LockLostError');
  table(
    'A bundle of @holdfast/core for Node',
    ['', 'minified', 'gzip'],
    [
      ['import { createLocker }', kB(all.minified), kB(all.compressed)],
      ['import { LockLostError }', kB(error.minified), kB(error.compressed)],
    ],
  );
  const share = error.minified / all.minified;
  return [atMost('one error class alone to all that createLocker needs, minified', share, 0.25)];
}
