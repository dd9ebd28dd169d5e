import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { compileIn, installPacked, type Consumer } from './kit/consumer.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

/** Every supported compiler, and every supported Nest, of which the oldest and the newest meet. */
const COMPILERS = [
  { nest: 10, versions: ['5.4', '6.0'] },
  { nest: 11, versions: ['5.9'] },
  { nest: 12, versions: ['5.4', '6.0'] },
] as const;
const SOURCES = join(import.meta.dirname, 'consumer');

/** What the compiler says where a line of `invalid.ts` is marked so. */
const MESSAGES: Record<string, RegExp> = {
  key: /the key function must accept the arguments of the method/,
  result: /a method with a lock must return a promise, an Observable or an async iterable/,
  argument: /is not assignable to/,
  skip: /with `onLocked: 'skip'` the method's promise must allow undefined/,
  instead: /the value of `onLocked` must be one that the promise of the method allows/,
  literal: /Object literal may only specify known properties/,
};

describe.each(COMPILERS)('the types, with Nest $nest,', ({ nest, versions }) => {
  let consumer: Consumer;

  beforeAll(async () => {
    consumer = await installPacked(nest);
    for (const file of ['valid.mts', 'valid.cts', 'invalid.mts']) {
      const source = file.replace(/[cm]ts$/, 'ts');
      await copyFile(join(SOURCES, source), join(consumer.folder, file));
    }
  });

  afterAll(() => consumer.remove());

  test.each(versions.map((version) => ({ version })))(
    'are clean on TypeScript $version, and tell of mistakes in words',
    async ({ version }) => {
      // Before 5.8 the compiler does not know that CommonJS can require ES modules, which Nest 12 is.
      const common = nest === 12 && version === '5.4' ? [] : ['valid.cts'];
      const files = ['valid.mts', ...common, 'invalid.mts'];
      const output = await compileIn(consumer, version, files);
      const errors = output.split(/^(?=\S)/m);
      expect(errors.filter((error) => !error.startsWith('invalid.mts('))).toEqual([]);
      const found = errors.map((error) => Number(/\((\d+)/.exec(error)?.[1]));
      const source = await readFile(join(SOURCES, 'invalid.ts'), 'utf8');
      const marks = source.split('\n').flatMap((line, index) => {
        const [, mark] = /\/\/ (\w+)$/.exec(line) ?? [];
        return mark === undefined ? [] : [{ line: index + 1, message: MESSAGES[mark] as RegExp }];
      });
      expect(found).toEqual(marks.map(({ line }) => line));
      for (const [index, { message }] of marks.entries()) expect(errors[index]).toMatch(message);
    },
  );
});

test('the types need no types of Node', async () => {
  const consumer = await installPacked(12);
  await copyFile(join(SOURCES, 'valid.ts'), join(consumer.folder, 'valid.mts'));
  // Nest's own do, so only what is said of ours counts.
  const output = await compileIn(consumer, '6.0', ['valid.mts'], ['--types']);
  const ours = output.split('\n').filter((line) => /^(valid|node_modules.@holdfast)/.test(line));
  expect(ours).toEqual([]);
  await consumer.remove();
});
