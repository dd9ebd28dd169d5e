import { defineConfig, type Options } from 'tsup';
import { library } from '../../tsup.base.ts';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

/**
 * Makes three ES modules of the package: one with the errors, one with all the rest, and the entry, which
 * only names what they have. A bundler keeps what of a file may have effects, and whoever imports one class
 * of error is not to get the engine with it. Nothing is left out of a CommonJS module, so that stays one.
 */
const errorsApart: Plugin = {
  name: 'errors-apart',
  setup: (build) => {
    const { initialOptions } = build;
    if (initialOptions.format !== 'esm') return;
    initialOptions.entryPoints = ['src/index.ts', 'src/engine.ts', 'src/errors.ts'];
    build.onResolve({ filter: /\/(?:engine|errors)\.ts$/ }, ({ path, kind }) => {
      if (kind === 'entry-point') return undefined;
      return { path: path.replace(/^.*\/(\w+)\.ts$/, './$1.js'), external: true };
    });
  },
};

export default defineConfig({
  ...library,
  dts: { ...(library.dts as object), entry: 'src/index.ts' },
  esbuildPlugins: [errorsApart],
});
