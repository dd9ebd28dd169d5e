import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { execute, makeConsumer, type ConsumerProject } from '../src/project.ts';

describe('what is published', () => {
  let project: ConsumerProject;
  beforeAll(async () => {
    project = await makeConsumer(['core'], {});
  }, 120_000);
  afterAll(() => project.remove());

  test('works when ESM and CommonJS meet in one process', { timeout: 60_000 }, async () => {
    const checks = JSON.parse(await execute(project.folder, 'copies.cjs')) as object;
    expect(Object.keys(checks).length).toBeGreaterThan(0);
    expect(Object.entries(checks).filter(([, holds]) => holds !== true)).toEqual([]);
  });
});

test.each(['core', 'testing', 'memcached'])(
  '%s is built without code to name functions',
  (name) => {
    // Of a function that is made for each lock, that takes longer than the lock's own work.
    const file = createRequire(import.meta.url).resolve(`@holdfast/${name}`);
    expect(readFileSync(file, 'utf8')).not.toContain('__name');
  },
);
