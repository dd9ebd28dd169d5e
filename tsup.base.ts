import type { Options } from 'tsup';

/** How every published package is built: ESM and CommonJS, each with its types. */
export const library: Options = {
  entry: ['src/index.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  // The root's own one allows decorators with metadata, for which tsup takes another compiler that wraps
  // every function to keep its name: twice as slow.
  tsconfig: '../../tsconfig.base.json',
  // With it, tsup rewrites the CommonJS output into the syntax of 2019, which runs far slower. Without it
  // each entry has all it needs, so a package has only one.
  splitting: false,
  // Keep `node:` in front of Node's own modules.
  removeNodeProtocol: false,
  sourcemap: true,
  clean: true,
  silent: true,
  // tsup 8 sets `baseUrl` for the declaration build, which TypeScript 6 reports.
  dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
};
