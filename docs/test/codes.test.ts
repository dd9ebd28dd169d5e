import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { packages } from '../.vitepress/sidebar.ts';

/** What a script of Redis answers to the store, which makes an error of it that people see. */
const INTERNAL = new Set(['HOLDFAST_FOREIGN']);

/** Every error and warning code that a published package can give. */
function codesInSources(): string[] {
  const codes = new Set<string>();
  for (const name of packages) {
    const folder = new URL(`../../packages/${name}/src/`, import.meta.url);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    for (const file of files.filter((path) => path.endsWith('.ts'))) {
      const text = readFileSync(new URL(file, folder), 'utf8');
      const found = text.matchAll(/(?<=')(?:LOCK|LOCKER|HOLDFAST)_[A-Z_]+(?=')/g);
      for (const [code] of found) if (!INTERNAL.has(code)) codes.add(code);
    }
  }
  return [...codes].toSorted();
}

test('the troubleshooting page has a section for every error and warning code', () => {
  const page = readFileSync(new URL('../troubleshooting.md', import.meta.url), 'utf8');
  const sections = new Set([...page.matchAll(/^### (.+)$/gm)].map(([, title]) => title));
  const codes = codesInSources();
  expect(codes).toContain('LOCK_LOST');
  expect(codes).toContain('HOLDFAST_REDIS_EVICTION');
  expect(codes.filter((code) => !sections.has(code))).toEqual([]);
});
