// The built types as users meet them: both majors of Express, three of TypeScript, strictly.
import { execFile } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { installed, projectWith } from './built.ts';

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const consumer = fileURLToPath(new URL('consumer', import.meta.url));

const EXPRESS: Record<string, { from: string; compilers: string[] }> = {
  'Express 5': { from: '.', compilers: ['typescript', 'typescript-5.9', 'typescript-5.4'] },
  'Express 4': { from: 'test/on-express4', compilers: ['typescript', 'typescript-5.4'] },
};

const compilerOptions = {
  target: 'es2022',
  lib: ['es2022'],
  module: 'nodenext',
  strict: true,
  exactOptionalPropertyTypes: true,
  // All types but those of the compiler itself, which would take most of the time.
  skipLibCheck: false,
  skipDefaultLibCheck: true,
  noEmit: true,
  types: [],
};

/** Compiles a project, and returns what the compiler says. */
async function compile(folder: string, compiler = 'typescript'): Promise<string> {
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  const tsc = join(require.resolve(`${compiler}/package.json`), '../lib/tsc.js');
  const failed = ({ stdout }: { stdout: string }): { stdout: string } => ({ stdout });
  const { stdout } = await run(process.execPath, [tsc, '-p', folder]).catch(failed);
  return stdout;
}

describe.each(Object.entries(EXPRESS))('with the types of %s', (_name, { from, compilers }) => {
  const peers = {
    ...installed(['@holdfast/core']),
    ...installed(['express', '@types/express'], from),
  };
  const own = { ...peers, ...installed(['expect-type']) };

  test.each(compilers)(
    'a project without hoisting compiles with %s',
    { timeout: 120_000 },
    async (compiler) => {
      const folder = projectWith(own, peers);
      cpSync(consumer, folder, { recursive: true });
      expect(await compile(folder, compiler)).toBe('');
    },
  );
});

test('without @types/express as a peer, they would not', { timeout: 120_000 }, async () => {
  const { '@types/express': types, ...peers } = {
    ...installed(['@holdfast/core']),
    ...installed(['express', '@types/express']),
  };
  const own = { ...peers, '@types/express': types as string, ...installed(['expect-type']) };
  const folder = projectWith(own, peers);
  cpSync(consumer, folder, { recursive: true });
  expect(await compile(folder)).toContain('error TS');
});
