import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import bullmq5 from './packages/bullmq/test/on-bullmq5/package.json' with { type: 'json' };
import { onNode } from './newest-node/src/pool.ts';
import { newestNode } from './newest-node/src/releases.ts';
import Order from './vitest.order.ts';
import nest10 from './packages/nestjs/test/on-nest10/package.json' with { type: 'json' };

// Tests run against the packages' sources: every package's `exports` names its sources under this
// condition, so nothing has to be built first.
const conditions = ['@holdfast/source', 'node'];

const project = (name: string, root = `packages/${name}`, globalSetup: string[] = []) => ({
  extends: true as const,
  test: { name, root, include: ['test/*.test.ts'], globalSetup },
});

const servers = '@holdfast/test-servers/global-setup';
const chromium = '@holdfast/test-servers/chromium-setup';
const packed = '@holdfast/test-servers/packed-setup';
const compiler = '@holdfast/test-servers/compiler-setup';

/** With real servers, each test file its own. */
const onServers = (name: string, root?: string) => project(name, root, [servers]);

/** Much that computes: Node 20 needs twice the time of the newest for it. */
const onNode20 = process.versions.node.startsWith('20.');
const fast = newestNode !== undefined && onNode20 ? { pool: onNode(newestNode) } : {};

/**
 * A package's same tests once more, on the newest Node. Not what is built, nor what has no need of Node's
 * own server or client. Where npm has no Node for the machine, there is nothing to run them on.
 */
const onNewestNode = (name: string, exclude: string[] = []) =>
  newestNode === undefined
    ? []
    : [
        {
          extends: true as const,
          test: {
            name: `${name} on the newest node`,
            root: `packages/${name}`,
            include: ['test/*.test.ts'],
            exclude: ['test/built-*.test.ts', 'test/simulated-*.test.ts', ...exclude],
            globalSetup: [servers],
            pool: onNode(newestNode),
          },
        },
      ];

/** A package's same tests, on the other versions of its peers that `test/on-<label>` installs. */
const projectOn = (
  name: string,
  label: string,
  peers: string[],
  env = {},
  include = ['*.test.ts'],
) => ({
  extends: true as const,
  resolve: { dedupe: peers },
  test: {
    name: `${name} on ${label}`,
    root: `packages/${name}/test/on-${label}`,
    dir: `packages/${name}/test`,
    include: [...include, `on-${label}/*.test.ts`],
    // What is built is tested once, on all versions; what is simulated knows no peer.
    exclude: ['built-*.test.ts', 'simulated-*.test.ts'],
    globalSetup: [servers],
    env,
  },
});

/** Its files share processes, and none sees the applications of another. */
const freshly = <T extends { test: object }>(one: T) => ({
  ...one,
  test: {
    ...one.test,
    setupFiles: [`${import.meta.dirname}/packages/nestjs/test/kit/fresh-process.ts`],
  },
});

/** What befalls a client, of whichever library. */
const everyClient = ['faults', 'topologies', 'durability', 'leaving'].map(
  (file) => `clients/${file}`,
);

/**
 * Of the tests of Redis, those that another version of ioredis could fail. The others are about scripts,
 * simulated servers, the server itself or what is above the client, and are run on one version. So is
 * conformance on other topologies than one server: on each of them, `environments` uses every client.
 */
const onClients = [
  'conformance',
  'connections',
  'decoding',
  'durability-connections',
  'environments',
  'failover',
  'leaving',
  ...everyClient,
  'messages*',
  'outage',
  'permanent-errors',
  'quorum-clients',
  'read-only',
  'secrets',
].map((file) => `${file}.test.ts`);

/** The same tests on other libraries than ioredis, and what is particular to each. */
const onLibrary = (library: string, folder = 'test/'): string[] => [
  `${folder}environments.test.ts`,
  `${folder}clients/conformance.test.ts`,
  ...everyClient.map((file) => `${folder}${file}.test.ts`),
  `${folder}clients/${library}.test.ts`,
];

/** All that is about ioredis or about no client, and what is about every client. */
const onIoredis = ['test/*.test.ts', ...everyClient.map((file) => `test/${file}.test.ts`)];

const redisOn = (library: string) => ({
  extends: true as const,
  test: {
    name: `redis on ${library}`,
    root: 'packages/redis',
    include: onLibrary(library),
    globalSetup: [servers],
    env: { ON_CLIENT: library },
  },
});

const bullmq = Object.keys(bullmq5.devDependencies);
const nest = Object.keys(nest10.devDependencies);

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // Machines may be slow and busy; no test measures time.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    reporters: ['default', './vitest.summary.ts'],
    // A worker keeps what it has imported for the next files of its project: half of all the work of a
    // run was to start a process and to import the same sources, for each file again.
    isolate: false,
    sequence: { sequencer: Order },
    // Most of a concurrent test is waiting for a lease to end, and so is most of many files.
    maxConcurrency: 16,
    maxWorkers: Math.max(7, availableParallelism()),
    projects: [
      project('core'),
      project('testing'),
      {
        ...onServers('simulation', 'simulation'),
        test: { ...onServers('simulation', 'simulation').test, ...fast },
      },
      onServers('opentelemetry'),
      project('cli', 'packages/cli', [
        servers,
        `${import.meta.dirname}/packages/cli/test/program-setup.ts`,
      ]),
      project('board', 'packages/board', [servers, chromium]),
      onServers('playground', 'apps/playground'),
      project('consumer', 'consumer', [servers, packed, compiler]),
      onServers('test-servers'),
      project('docs', 'docs', [servers, chromium]),
      { ...onServers('redis'), test: { ...onServers('redis').test, include: onIoredis } },
      project('chaos', 'chaos'),
      project('fuzz', 'fuzz'),
      project('soak', 'soak'),
      projectOn('redis', 'ioredis5', ['ioredis'], {}, onClients),
      projectOn('redis', 'ioredis5.3', ['ioredis'], {}, onClients),
      projectOn('redis', 'iovalkey', ['ioredis'], {}, onClients),
      redisOn('node-redis'),
      projectOn(
        'redis',
        'node-redis5',
        ['redis'],
        { ON_CLIENT: 'node-redis' },
        onLibrary('node-redis', ''),
      ),
      redisOn('glide'),
      onServers('bench', 'bench'),
      onServers('memcached'),
      project('express', 'packages/express', [servers, compiler]),
      ...onNewestNode('express'),
      onServers('express-orders', 'apps/express-orders'),
      projectOn('express', 'express4', ['express']),
      onServers('bullmq'),
      projectOn('bullmq', 'bullmq5', bullmq, { ON_BULLMQ: '5' }),
      projectOn('bullmq', 'bullmq5.64', bullmq, { ON_BULLMQ: '5.64' }),
      onServers('bullmq-ledger', 'apps/bullmq-ledger'),
      onServers('report-service', 'apps/report-service'),
      project('nestjs-payments', 'apps/nestjs-payments', [
        servers,
        `${import.meta.dirname}/apps/nestjs-payments/test/program-setup.ts`,
      ]),
      freshly(project('nestjs', 'packages/nestjs', [servers, packed, compiler])),
      ...onNewestNode('nestjs').map(freshly),
      freshly(projectOn('nestjs', 'nest10', nest, { ON_NEST: '10' })),
      freshly(projectOn('nestjs', 'nest11', nest, { ON_NEST: '11' })),
    ],
  },
});
