import { ensureBinaries, MEMCACHED, REDIS } from '@holdfast/test-servers';

/** From PATH, else installed where that needs no question asked. */
export const redisBinary = async (): Promise<string> =>
  (await ensureBinaries([REDIS]))[0] as string;

export const memcachedBinary = async (): Promise<string> =>
  (await ensureBinaries([MEMCACHED]))[0] as string;
