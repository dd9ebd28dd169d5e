import { createHash } from 'node:crypto';
import type { RedisClient, RedisCluster } from './client.ts';

/** A Lua script. */
export interface Script {
  readonly source: string;
  /** What the server calls it. */
  readonly sha: string;
}

export function script(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/**
 * Runs a script by its name, and by its text where the server does not know it (any more).
 *
 * @param words its KEYS, so many, and then its ARGV
 */
export function run(
  client: RedisClient | RedisCluster,
  { sha, source }: Script,
  keys: number,
  words: string[],
): Promise<unknown> {
  return client.evalsha(sha, keys, words).then(undefined, (error: unknown) => {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return client.eval(source, keys, words);
  });
}
