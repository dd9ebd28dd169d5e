import { LockStoreError } from '@holdfast/core';
import { createHash } from 'node:crypto';
import type { OrderOptions, OrderRedis } from '../types.ts';

/** A Lua script, and the name that Redis knows it by. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

export function scriptOf(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/** What a request costs Redis, about, in keys: no script is to keep it busy for long. */
const MOST_KEYS = 256;

/** What the server says to a user without the rights, or with another password: trying again cannot heal it. */
const REFUSED =
  /\b(?:NOPERM|NOAUTH|WRONGPASS)\b|unknown (?:redis )?command|user executing the script can't run|can't access at least one of the keys/i;

interface Request {
  readonly words: readonly unknown[];
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Asks the Redis of a queue. All that is particular to a Redis client is in here.
 *
 * What is asked in a turn of the event loop goes in one call: with many jobs at a time, that is most of what
 * their order costs. Requests are answered in the order in which they were made.
 *
 * Only the first key is passed as a key: all others are in its slot, and their names are built in the
 * script, so that a `keyPrefix` of the client never reaches them.
 */
export class OrderClient {
  /** What every key of the queue begins with. */
  readonly base: string;
  private readonly redis: OrderRedis;
  private readonly batches: { readonly requests: Request[]; keys: number }[] = [];

  /** @param startOrder of this process, which tells whom it has started and not yet asked for */
  constructor(
    { queue, redis }: OrderOptions,
    private readonly script: Script,
    private readonly startOrder: { readonly jobs: readonly string[] },
  ) {
    this.base = queue.toKey('');
    this.redis = redis;
  }

  /**
   * @param words the name of a handler in the script, a job, a run, and what else the handler takes
   * @param keys of how many keys it is
   * @throws LockStoreError
   */
  ask(words: readonly unknown[], keys = 1): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = { words, resolve, reject };
      const last = this.batches.at(-1);
      if (last !== undefined && last.keys + keys <= MOST_KEYS) {
        last.requests.push(request);
        last.keys += keys;
        return;
      }
      if (last === undefined) setImmediate(() => this.flush());
      this.batches.push({ requests: [request], keys });
    });
  }

  private flush(): void {
    for (const { requests } of this.batches.splice(0)) void this.send(requests);
  }

  private async send(requests: readonly Request[]): Promise<void> {
    const { sha, source } = this.script;
    const lists = [this.startOrder.jobs, ...requests.map(({ words }) => words)];
    const words = [
      `${this.base}holdfast:jobs`,
      this.base,
      ...lists.map((list) => JSON.stringify(list)),
    ];
    try {
      const replies = await this.redis.evalsha(sha, 1, words).catch((error: unknown) => {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return this.redis.eval(source, 1, words);
      });
      for (const [index, { resolve }] of requests.entries()) resolve((replies as unknown[])[index]);
    } catch (cause) {
      const message = 'The Redis that keeps the order of jobs failed.';
      const permanent = cause instanceof Error && REFUSED.test(cause.message);
      const error = new LockStoreError(message, { phase: 'acquire', permanent, cause });
      for (const { reject } of requests) reject(error);
    }
  }
}
