import { LockArgumentError } from '@holdfast/core';
import {
  ACCEPTED,
  portOf,
  type AnyRedisClient,
  type AnyRedisCluster,
} from './connection/clients.ts';

/** Runs Lua scripts, by whichever client. */
export interface RedisScripts {
  /** @param words the KEYS, so many, and then the ARGV */
  evalsha(sha: string, keys: number, words: string[]): Promise<unknown>;
  /** @param words the KEYS, so many, and then the ARGV */
  eval(source: string, keys: number, words: string[]): Promise<unknown>;
}

/**
 * One way to run scripts by any client that {@link redisStore} takes: what the server refuses is an
 * error in the server's own words, such as `NOSCRIPT …`. For the `order` of `@holdfast/bullmq`, and for
 * scripts of your own that check a fencing token.
 *
 * @throws LockArgumentError for what is not a client that Holdfast knows
 * @example
 * ```ts
 * const order = { queue, redis: redisScripts(nodeRedisClient) };
 * ```
 */
export function redisScripts(client: AnyRedisClient | AnyRedisCluster): RedisScripts {
  const port = portOf(client);
  if (port === undefined) throw new LockArgumentError(`\`redisScripts()\` takes ${ACCEPTED}.`);
  return {
    evalsha: (sha, keys, words) => port.evalsha(sha, keys, words),
    eval: (source, keys, words) => port.eval(source, keys, words),
  };
}
