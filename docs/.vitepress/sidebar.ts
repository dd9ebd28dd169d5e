import { existsSync, readdirSync, readFileSync } from 'node:fs';

interface Page {
  readonly text: string;
  readonly link: string;
}

interface Section {
  readonly text: string;
  readonly items: readonly Page[];
}

const repository = new URL('../../', import.meta.url);

/** The published packages, `core` first, then in the order of the alphabet. */
export const packages: readonly string[] = readdirSync(new URL('packages/', repository))
  .filter((folder) => {
    const manifest = new URL(`packages/${folder}/package.json`, repository);
    return (JSON.parse(readFileSync(manifest, 'utf8')) as { private?: boolean }).private !== true;
  })
  .toSorted((a, b) => Number(b === 'core') - Number(a === 'core') || a.localeCompare(b));

/** Those that are imported, and not only run. */
export const libraries: readonly string[] = packages.filter((name) =>
  existsSync(new URL(`packages/${name}/src/index.ts`, repository)),
);

/** Every page of the site, in the order in which a reader meets them. `llms.txt` follows it, too. */
export const sections: readonly Section[] = [
  {
    text: 'Start',
    items: [
      { text: 'Getting started', link: '/start' },
      { text: 'How a lock works', link: '/how-it-works' },
      { text: 'Choosing a lock', link: '/choosing-a-lock' },
      { text: 'Choosing a store', link: '/choosing-a-store' },
      { text: 'Cheat sheet', link: '/cheat-sheet' },
      { text: 'Comparison', link: '/comparison' },
    ],
  },
  {
    text: 'Guide',
    items: [
      { text: 'Using locks', link: '/guide' },
      { text: 'Fencing', link: '/fencing' },
      { text: 'Guarantees', link: '/guarantees' },
      { text: 'Run the simulation', link: '/simulation' },
      { text: 'Quorum and durability', link: '/quorum' },
      { text: 'Testing code that locks', link: '/testing' },
    ],
  },
  {
    text: 'Problems',
    items: [
      { text: 'A cron job on many instances', link: '/problems/cron' },
      { text: 'Run migrations once', link: '/problems/migrations' },
      { text: 'Prevent a double submit', link: '/problems/double-submit' },
      { text: 'One BullMQ job per customer', link: '/problems/bullmq' },
      { text: 'Refresh a token once', link: '/problems/refresh-token' },
      { text: 'Leader election', link: '/problems/leader-election' },
      { text: 'Limit concurrency per tenant', link: '/problems/concurrency-limit' },
      { text: 'A lock and a transaction', link: '/problems/transactions' },
    ],
  },
  {
    text: 'Operate',
    items: [
      { text: 'Operations', link: '/operations' },
      { text: 'Deployment and sizing', link: '/deployment' },
      { text: 'Performance', link: '/performance' },
      { text: 'Serverless and edge', link: '/serverless' },
      { text: 'Troubleshooting', link: '/troubleshooting' },
    ],
  },
  {
    text: 'Migrate from',
    items: [
      { text: 'How to switch', link: '/migrate/' },
      { text: 'redlock', link: '/migrate/redlock' },
      { text: 'redis-semaphore', link: '/migrate/redis-semaphore' },
      { text: 'async-mutex', link: '/migrate/async-mutex' },
      { text: 'verrou', link: '/migrate/verrou' },
      { text: 'proper-lockfile', link: '/migrate/proper-lockfile' },
      { text: 'SET NX PX by hand', link: '/migrate/set-nx' },
    ],
  },
  {
    text: 'Packages',
    items: packages.map((name) => ({ text: `@holdfast/${name}`, link: `/packages/${name}` })),
  },
  {
    text: 'Reference',
    items: [
      { text: 'Specification', link: '/specification' },
      { text: 'Architecture', link: '/architecture' },
      { text: 'Evidence', link: '/evidence' },
      ...libraries.map((name) => ({ text: `API of ${name}`, link: `/api/${name}` })),
    ],
  },
];
