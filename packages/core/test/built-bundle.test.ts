import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import { expect, onTestFinished, test } from 'vitest';

const built = fileURLToPath(new URL('../dist/index.js', import.meta.url));

/** What esbuild makes of a module that imports one name of the built package. */
async function bundleOf(name: string): Promise<string> {
  if (!existsSync(built)) throw new Error('The package is not built: `pnpm build`.');
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bundle-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const entry = join(folder, 'entry.ts');
  writeFileSync(entry, `export { ${name} } from ${JSON.stringify(built)};\n`);
  await build({
    entry: [entry],
    outDir: join(folder, 'out'),
    format: ['esm'],
    outExtension: () => ({ js: '.js' }),
    platform: 'node',
    target: 'node20',
    noExternal: [/.*/],
    config: false,
    tsconfig: fileURLToPath(new URL('../../../tsconfig.base.json', import.meta.url)),
    silent: true,
  });
  return readFileSync(join(folder, 'out', 'entry.js'), 'utf8');
}

test('a bundle with one class of error has the errors, and nothing of the engine', async () => {
  const [errors, engine] = [await bundleOf('LockLostError'), await bundleOf('createLocker')];
  const traits = (code: string) => ({
    hasErrors: code.includes('LockLostError'),
    hasEngine: code.includes('HoldfastLocker'),
    imports: /\bfrom ?["'](?:node:)?async_hooks["']/.test(code),
  });
  expect(traits(engine)).toEqual({ hasErrors: true, hasEngine: true, imports: true });
  expect(traits(errors)).toEqual({ hasErrors: true, hasEngine: false, imports: false });
  expect(errors.length).toBeLessThan(engine.length / 10);
});
