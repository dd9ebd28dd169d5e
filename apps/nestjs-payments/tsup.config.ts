import { defineConfig } from 'tsup';

// With @swc/core there, tsup emits the decorator metadata by which Nest injects.
export default defineConfig({
  entry: ['src/main.ts'],
  format: ['esm'],
  target: 'node20',
  removeNodeProtocol: false,
  clean: true,
  silent: true,
});
