import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

/** The page's script and style, each one file without any import. */
export async function buildUi(): Promise<{ readonly script: string; readonly style: string }> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('app.tsx', import.meta.url))],
    bundle: true,
    minify: true,
    write: false,
    outdir: 'ui',
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    // Not the condition under which our packages name their sources.
    conditions: [],
  });
  const end = (ending: string): string =>
    outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? '';
  return { script: end('.js'), style: end('.css') };
}
