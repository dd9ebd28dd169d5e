import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useBundle } from '@holdfast/test-servers/bundle';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Compiles a program of `programs/` for the tests of the file that calls this. */
export function useProgram(name: string): { readonly file: string } {
  const compiled = useBundle(root, [`test/programs/${name}.ts`]);
  return {
    get file(): string {
      return join(compiled.folder, `${name}.mjs`);
    },
  };
}
