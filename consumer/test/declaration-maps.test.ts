// With what is published, an editor goes from a name to its source.
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeConsumer, type ConsumerProject } from '../src/project.ts';

const PACKAGES = [
  'core',
  'redis',
  'memcached',
  'express',
  'nestjs',
  'bullmq',
  'board',
  'opentelemetry',
  'testing',
];

let project: ConsumerProject;
beforeAll(async () => {
  project = await makeConsumer(PACKAGES, {});
}, 120_000);
afterAll(() => project.remove());

/** Where a declaration file declares what it exports: the name, its line and its column. */
function exportsOf(declaration: string): { name: string; line: number; column: number }[] {
  const [, list = ''] = /^export \{ (.*) \};$/m.exec(declaration) ?? [];
  const names = new Set(list.split(', ').map((one) => one.replace(/^type | as .*$/g, '')));
  const declared =
    /^(?:declare )?(?:abstract )?(?:class|interface|type|function|const|enum) ([\w$]+)/;
  return declaration.split('\n').flatMap((text, line) => {
    const [before = '', name = ''] = declared.exec(text) ?? [];
    return names.has(name) ? [{ name, line, column: before.length - name.length }] : [];
  });
}

test.each(
  PACKAGES.flatMap((name) => ['index.d.ts', 'index.d.cts'].map((file) => ({ name, file }))),
)('each name that $name exports in $file leads to its source', ({ name, file }) => {
  const dist = join(project.folder, 'node_modules', '@holdfast', name, 'dist');
  const declaration = readFileSync(join(dist, file), 'utf8');
  const payload = readFileSync(join(dist, `${file}.map`), 'utf8');
  const map = new SourceMap(JSON.parse(payload) as SourceMapPayload);
  const exported = exportsOf(declaration);
  expect(exported.length).toBeGreaterThan(0);
  const lost = exported.filter(({ name: wanted, line, column }) => {
    const entry = map.findEntry(line, column);
    if (!('originalSource' in entry) || entry.generatedColumn !== column) return true;
    const source = readFileSync(join(dist, entry.originalSource), 'utf8').split('\n');
    return source[entry.originalLine]?.slice(entry.originalColumn).startsWith(wanted) !== true;
  });
  expect(lost).toEqual([]);
});
