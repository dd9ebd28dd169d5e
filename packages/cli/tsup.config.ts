import { defineConfig } from 'tsup';
import { library } from '../../tsup.base.ts';

// A program: nothing is imported from it.
export default defineConfig({ ...library, entry: ['src/main.ts'], format: ['esm'], dts: false });
