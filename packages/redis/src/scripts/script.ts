import { createHash } from 'node:crypto';
import type { ScriptClient } from '../connection/port.ts';

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
 * @param answered told the answer; what it returns is the result
 * @param failed told the error, where there is none; by default that is the result
 */
export function run<T>(
  client: ScriptClient,
  { sha, source }: Script,
  keys: number,
  words: string[],
  answered: (answer: unknown) => T,
  failed: (error: unknown) => T | Promise<T> = (error) => Promise.reject(error),
): Promise<T> {
  return client.evalsha(sha, keys, words).then(answered, (error: unknown) => {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) return failed(error);
    return client.eval(source, keys, words).then(answered, failed);
  });
}
