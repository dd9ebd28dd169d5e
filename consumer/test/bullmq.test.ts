import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile, makeConsumer, type ConsumerProject } from '../src/project.ts';

/** Where each major version of BullMQ is installed, and the compilers that meet it. */
const MAJORS = [
  {
    major: 5,
    installed: 'packages/bullmq/test/on-bullmq5/node_modules',
    versions: ['5.4', '6.0'],
  },
  { major: 6, installed: 'consumer/node_modules', versions: ['5.4', '5.9', '6.0'] },
];

describe.each(MAJORS)('with the types of BullMQ $major', ({ installed, versions }) => {
  let project: ConsumerProject;
  beforeAll(async () => {
    project = await makeConsumer(['core', 'bullmq'], {
      '@types/node': 'consumer/node_modules/@types/node',
      bullmq: `${installed}/bullmq`,
      ioredis: `${installed}/ioredis`,
    });
  }, 120_000);
  afterAll(() => project.remove());

  test.each(versions)(
    'those of @holdfast/bullmq are clean on TypeScript %s, and infer those of the worker',
    { timeout: 300_000 },
    async (version) => {
      const files = ['bullmq.mts', 'bullmq.cts'];
      expect(await compile(version, project.folder, files, [])).toBe('');
    },
  );
});
