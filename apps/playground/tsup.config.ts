import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/main.ts', 'src/service-main.ts'],
  format: ['esm'],
  target: 'node20',
  removeNodeProtocol: false,
  clean: true,
  silent: true,
});
