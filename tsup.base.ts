import type { Options } from 'tsup';

/** How every published package is built: ESM and CommonJS, each with its types. */
export const library: Options = {
  entry: ['src/index.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  // A package's own one may emit the metadata of decorators, for its tests, for which tsup takes another
  // compiler that wraps every function to keep its name: twice as slow. The base names no files, so that
  // it would take in what other packages are building.
  tsconfig: '../../tsconfig.json',
  // With it, tsup rewrites the CommonJS output into the syntax of 2019, which runs far slower. Without it
  // each entry has all it needs, so a package has only one.
  splitting: false,
  // Keep `node:` in front of Node's own modules.
  removeNodeProtocol: false,
  sourcemap: true,
  // The sources are in the package once: beside the maps, not in them too.
  esbuildOptions: (options) => {
    options.sourcesContent = false;
  },
  clean: true,
  silent: true,
  // tsup 8 sets `baseUrl` for the declaration build, which TypeScript 6 reports. Without conditions, other
  // packages are what is built of them: their sources would be checked once more for each package.
  dts: { compilerOptions: { ignoreDeprecations: '6.0', customConditions: [] } },
};
