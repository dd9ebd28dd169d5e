import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile, makeConsumer, type ConsumerProject } from '../src/project.ts';

const VERSIONS = ['5.4', '5.9', '6.0'];
const PACKAGES = ['core', 'testing', 'redis', 'memcached', 'board'];
const FILES = PACKAGES.flatMap((name) => [`${name}.mts`, `${name}.cts`]);

/** What names types of others, which need Node's. */
const WITH_NODE = [
  'memcached-memjs.mts',
  'redis-ioredis.mts',
  'redis-node-redis.mts',
  'redis-glide.mts',
  'opentelemetry.mts',
  'opentelemetry.cts',
];

/** How consumers may be set up. */
const SETUPS: Record<string, readonly string[]> = {
  'as it comes': [],
  'with lib es2022': ['--lib', 'es2022'],
  "with Node's types": ['--types', 'node'],
};

describe('the types of what is published are clean', () => {
  let project: ConsumerProject;
  let withNode: ConsumerProject;
  beforeAll(async () => {
    project = await makeConsumer(PACKAGES, {});
    withNode = await makeConsumer([...PACKAGES, 'opentelemetry'], {
      '@opentelemetry/api': 'packages/opentelemetry/node_modules/@opentelemetry/api',
      '@types/node': 'consumer/node_modules/@types/node',
      '@types/memjs': 'consumer/node_modules/@types/memjs',
      '@valkey/valkey-glide': 'consumer/node_modules/@valkey/valkey-glide',
      ioredis: 'consumer/node_modules/ioredis',
      redis: 'consumer/node_modules/redis',
    });
  }, 120_000);
  afterAll(async () => {
    await project.remove();
    await withNode.remove();
  });

  for (const version of VERSIONS) {
    for (const [setup, options] of Object.entries(SETUPS)) {
      test(`on TypeScript ${version}, ${setup}`, { timeout: 300_000 }, async () => {
        const node = setup.includes('Node');
        const { folder } = node ? withNode : project;
        const files = node ? [...FILES, ...WITH_NODE] : FILES;
        expect(await compile(version, folder, files, options)).toBe('');
      });
    }

    test(`on TypeScript ${version}, for await using`, { timeout: 300_000 }, async () => {
      const options = ['--lib', 'es2022,esnext.disposable'];
      expect(await compile(version, project.folder, ['core-using.mts'], options)).toBe('');
    });
  }
});
