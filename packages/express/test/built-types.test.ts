// The built types as users meet them: both majors of Express, three of TypeScript, strictly.
import { cpSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '@holdfast/test-servers/typescript';
import { describe, expect, test } from 'vitest';
import { installed, projectWith } from './built.ts';

const require = createRequire(import.meta.url);
const consumer = fileURLToPath(new URL('consumer', import.meta.url));

const EXPRESS: Record<string, { from: string; compilers: string[] }> = {
  'Express 5': { from: '.', compilers: ['typescript', 'typescript-5.9', 'typescript-5.4'] },
  'Express 4': { from: 'test/on-express4', compilers: ['typescript', 'typescript-5.4'] },
};

const STRICT = ['--strict', '--exactOptionalPropertyTypes', '--noEmit', '--types'];
// All types but those of the compiler itself, which would take most of the time.
const CHECKED = ['--skipLibCheck', 'false', '--skipDefaultLibCheck'];
const OPTIONS = [
  '--target',
  'es2022',
  '--lib',
  'es2022',
  '--module',
  'nodenext',
  ...STRICT,
  ...CHECKED,
];

/** Compiles a project, and returns what the compiler says. */
function complaints(folder: string, compiler = 'typescript'): Promise<string> {
  const found = dirname(require.resolve(`${compiler}/package.json`));
  return compile(found, folder, [...OPTIONS, ...readdirSync(consumer)]);
}

describe.each(Object.entries(EXPRESS))('with the types of %s', (_name, { from, compilers }) => {
  const peers = {
    ...installed(['@holdfast/core']),
    ...installed(['express', '@types/express'], from),
  };
  const own = { ...peers, ...installed(['expect-type']) };

  test.each(compilers)(
    'a project without hoisting compiles with %s',
    { timeout: 300_000 },
    async (compiler) => {
      const folder = projectWith(own, peers);
      cpSync(consumer, folder, { recursive: true });
      expect(await complaints(folder, compiler)).toBe('');
    },
  );
});

test('without @types/express as a peer, they would not', { timeout: 300_000 }, async () => {
  const { '@types/express': types, ...peers } = {
    ...installed(['@holdfast/core']),
    ...installed(['express', '@types/express']),
  };
  const own = { ...peers, '@types/express': types as string, ...installed(['expect-type']) };
  const folder = projectWith(own, peers);
  cpSync(consumer, folder, { recursive: true });
  expect(await complaints(folder)).toContain('error TS');
});
