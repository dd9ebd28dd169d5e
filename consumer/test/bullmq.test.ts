import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile, makeConsumer, type ConsumerProject } from '../src/project.ts';

/** Where each major version of BullMQ is installed. */
const MAJORS = {
  'BullMQ 5': 'packages/bullmq/test/on-bullmq5/node_modules',
  'BullMQ 6': 'consumer/node_modules',
};

describe.each(Object.entries(MAJORS))('with the types of %s', (_, installed) => {
  let project: ConsumerProject;
  beforeAll(async () => {
    project = await makeConsumer(['core', 'bullmq'], {
      '@types/node': 'consumer/node_modules/@types/node',
      bullmq: `${installed}/bullmq`,
      ioredis: `${installed}/ioredis`,
    });
  }, 120_000);
  afterAll(() => project.remove());

  test.each(['5.4', '5.9', '6.0'])(
    'those of @holdfast/bullmq are clean on TypeScript %s, and infer those of the worker',
    { timeout: 120_000 },
    async (version) => {
      const files = ['bullmq.mts', 'bullmq.cts'];
      expect(await compile(version, project.folder, files, [])).toBe('');
    },
  );
});
