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
