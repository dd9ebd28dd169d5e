import type { ClientKind } from './kind.ts';

export type { ClusterOptions, MadeClient, SingleOptions } from './kind.ts';

/** Loaded one by one: a project has only the one that it is about. */
const kinds: Readonly<Record<string, () => Promise<ClientKind>>> = {
  ioredis: async () => (await import('./ioredis.ts')).ioredis,
  'node-redis': async () => (await import('./node-redis.ts')).nodeRedis,
  glide: async () => (await import('./glide.ts')).glide,
};

const { ON_CLIENT = 'ioredis' } = process.env;
const load = kinds[ON_CLIENT];
if (load === undefined) throw new Error(`There are no tests for ${ON_CLIENT}.`);

/** The clients that the tests run on. */
export const clientKind = await load();
