// The first example of each README, pasted into an empty project, in both module systems.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { redisCommand, useMemcached, useRedis } from '@holdfast/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  compileExample,
  firstCommand,
  firstExample,
  runExample,
  type Goal,
} from '../src/examples.ts';
import { execute, makeConsumer, type ConsumerProject } from '../src/project.ts';

interface Example extends Goal {
  /** What its install line installs: packages of this repository, and where others are installed. */
  readonly packages: readonly string[];
  readonly links: Readonly<Record<string, string>>;
  /** What it must have printed by its end. */
  readonly output?: RegExp;
  /** Options of the compiler that its users have. */
  readonly compiler?: readonly string[];
}

const redis = useRedis();
const memcached = useMemcached();

const from = (folder: string, ...names: string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `${folder}/node_modules/${name}`]));

const node = from('consumer', '@types/node');

const answers = (...paths: string[]): Goal => ({
  use: async (url) => {
    for (const path of paths) {
      const [method = '', where] = path.split(' ');
      const reply = await fetch(`${url}${where}`, { method });
      expect([path, reply.ok, await reply.text()]).toEqual([path, true, expect.any(String)]);
    }
  },
});

const EXAMPLES: Record<string, Example> = {
  repository: {
    packages: ['core', 'redis'],
    links: { ...node, ...from('consumer', 'ioredis') },
    output: /^invoice 42 is paid, fencing token \d+\n$/,
  },
  core: {
    packages: ['core'],
    links: node,
    output: /^invoice 42 is paid, fencing token \d+\n$/,
  },
  redis: {
    packages: ['core', 'redis'],
    links: { ...node, ...from('consumer', 'ioredis') },
    output: /^invoice 42 is paid, fencing token \d+\n$/,
  },
  memcached: {
    packages: ['core', 'memcached'],
    links: { ...node, ...from('consumer', 'memjs', '@types/memjs') },
  },
  bullmq: {
    packages: ['core', 'redis', 'bullmq'],
    links: { ...node, ...from('consumer', 'bullmq', 'ioredis') },
    prints: /^42: 1999, fencing token \d+$/m,
  },
  express: {
    packages: ['core', 'express'],
    links: { ...node, ...from('consumer', 'express', '@types/express') },
    ...answers('POST /orders/7/pay', 'POST /orders/7/ship'),
  },
  nestjs: {
    packages: ['core', 'nestjs'],
    links: {
      ...node,
      ...from('packages/nestjs', '@nestjs/common', '@nestjs/core', '@nestjs/platform-express'),
      ...from('packages/nestjs', 'reflect-metadata', 'rxjs'),
    },
    compiler: ['--experimentalDecorators', '--emitDecoratorMetadata'],
    ...answers('POST /orders/7/pay', 'POST /orders/7/ship'),
  },
  board: {
    packages: ['core', 'board'],
    links: { ...node, ...from('consumer', 'express', '@types/express') },
    ...answers('GET /ops/locks/'),
  },
  opentelemetry: {
    packages: ['core', 'opentelemetry'],
    links: { ...node, ...from('packages/opentelemetry', '@opentelemetry/api') },
  },
  testing: { packages: ['core', 'testing'], links: node },
};

describe.each(Object.entries(EXAMPLES))('the first example of %s', (name, example) => {
  let project: ConsumerProject;
  let complaints: string;
  beforeAll(async () => {
    project = await makeConsumer(example.packages, example.links);
    complaints = await compileExample(project.folder, firstExample(name), example.compiler);
  }, 300_000);
  afterAll(() => project.remove());

  test('compiles strictly, in both module systems', () => {
    expect(complaints).toBe('');
  });

  test.each(['mjs', 'cjs'] as const)('runs as .%s', { timeout: 120_000 }, async (module) => {
    const port = Number(new URL(redis.url).port);
    // A job of the one before, which was stopped, would be waited for until it is found to have stalled.
    await redisCommand({ host: '127.0.0.1', port }, 'FLUSHALL');
    const moved = {
      6379: port,
      11211: Number(memcached.servers.split(':')[1]),
    };
    const { exitCode, output } = await runExample(project.folder, module, moved, example);
    expect(output).not.toMatch(/Error|Warning/);
    if (example.use !== undefined || example.prints !== undefined) return;
    expect([exitCode, output]).toEqual([0, expect.stringMatching(example.output ?? /^$/)]);
  });
});

test('the first command of the CLI runs a program under its lock', async () => {
  const project = await makeConsumer(
    ['core', 'redis', 'cli'],
    from('packages/cli', 'commander', 'ioredis', 'jiti'),
  );
  const report = 'console.log(process.env.HOLDFAST_KEY, process.env.HOLDFAST_FENCE);';
  await writeFile(join(project.folder, 'report.js'), report);
  const [npx, name, ...args] = firstCommand('cli');
  expect([npx, name, args]).toEqual(['npx', '@holdfast/cli', expect.arrayContaining(['--'])]);
  const program = 'node_modules/@holdfast/cli/dist/main.js';
  const here = args.map((word) => (word.startsWith('redis://') ? redis.url : word));
  expect(await execute(project.folder, program, ...here)).toMatch(/^nightly-report \d{16}$/);
  await project.remove();
});
