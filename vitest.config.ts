import { defineConfig } from 'vitest/config';

// Tests run against the packages' sources: every package's `exports` names its sources under this
// condition, so nothing has to be built first.
const conditions = ['@holdfast/source', 'node'];

const project = (name: string, root: string) => ({
  extends: true as const,
  test: { name, root, include: ['test/*.test.ts'] },
});

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    projects: ['core', 'testing'].map((name) => project(name, `packages/${name}`)),
  },
});
