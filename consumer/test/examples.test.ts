// The first example of each README, pasted into an empty project, in both module systems.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileExample, firstExample, runExample } from '../src/examples.ts';
import { makeConsumer, type ConsumerProject } from '../src/project.ts';

interface Example {
  /** What its install line installs: packages of this repository, and where others are installed. */
  readonly packages: readonly string[];
  readonly links: Readonly<Record<string, string>>;
  /** Asks the server that it starts, if it starts one. */
  readonly use?: (url: string) => Promise<void>;
}

const from = (folder: string, ...names: string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `${folder}/node_modules/${name}`]));

const EXAMPLES: Record<string, Example> = {
  express: {
    packages: ['core', 'express'],
    links: from('consumer', 'express', '@types/express', '@types/node'),
    use: async (url) => {
      for (const verb of ['pay', 'ship']) {
        const reply = await fetch(`${url}/orders/7/${verb}`, { method: 'POST' });
        expect([verb, reply.status]).toEqual([verb, 200]);
      }
    },
  },
};

describe.each(Object.entries(EXAMPLES))('the first example of %s', (name, example) => {
  let project: ConsumerProject;
  beforeAll(async () => {
    project = await makeConsumer(example.packages, example.links);
  }, 120_000);
  afterAll(() => project.remove());

  test.each([
    ['ESM', 'mts', 'mjs'],
    ['CommonJS', 'cts', 'cjs'],
  ] as const)(
    'compiles strictly and runs as %s',
    { timeout: 120_000 },
    async (_name, source, run) => {
      expect(await compileExample(project.folder, firstExample(name), source)).toBe('');
      const { exitCode, output } = await runExample(project.folder, run, {}, example.use);
      expect([exitCode, output]).toEqual([
        example.use === undefined ? 0 : null,
        expect.not.stringMatching(/Error|Warning/) as string,
      ]);
    },
  );
});
