import { LockStoreError } from '@holdfast/core';
import { createHash } from 'node:crypto';
import type { OrderOptions, OrderRedis } from '../types.ts';

const HANDLE_ALL = /* lua */ `
local replies = {}
for i = 2, #ARGV do
  local request = cjson.decode(ARGV[i])
  id, run = request[1], request[2]
  replies[i - 1] = handle(request) or 0
end
return replies
`;

/** A Lua script, and the name that Redis knows it by. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

/**
 * A script of ours.
 *
 * @param parts Lua, of which the last has a function `handle` that answers a request
 */
export function script(...parts: readonly string[]): Script {
  const source = [...parts, HANDLE_ALL].join('');
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/** What a request costs Redis, about, in keys: no script is to keep it busy for long. */
const MOST_KEYS = 256;

interface Request {
  readonly words: readonly unknown[];
  readonly keys: number;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs scripts on the Redis of a queue. All that is particular to a Redis client is in here.
 *
 * What is asked of one script in a turn of the event loop goes in one call: with many jobs at a time, that
 * is most of what their order costs. Requests are answered in the order in which they were made.
 *
 * Only the first key is passed as a key: all others are in its slot, and their names are built in the
 * scripts, so that a `keyPrefix` of the client never reaches them.
 */
export class OrderClient {
  /** What every key of the queue begins with. */
  readonly base: string;
  private readonly redis: OrderRedis;
  private readonly requests: {
    readonly program: Script;
    readonly batch: Request[];
    keys: number;
  }[] = [];

  constructor({ queue, redis }: OrderOptions) {
    this.base = queue.toKey('');
    this.redis = redis;
  }

  /**
   * @param words a JSON list for the script, of which the first two are a job and a run
   * @param keys of how many keys it is
   * @throws LockStoreError
   */
  run(program: Script, words: readonly unknown[], keys = 1): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = { words, keys, resolve, reject };
      const last = this.requests.at(-1);
      if (last?.program === program && last.keys + keys <= MOST_KEYS) {
        last.batch.push(request);
        last.keys += keys;
        return;
      }
      if (this.requests.length === 0) setImmediate(() => this.flush());
      this.requests.push({ program, batch: [request], keys });
    });
  }

  private flush(): void {
    for (const { program, batch } of this.requests.splice(0)) void this.send(program, batch);
  }

  private async send({ sha, source }: Script, batch: readonly Request[]): Promise<void> {
    const requests = batch.map(({ words }) => JSON.stringify(words));
    const words = [`${this.base}holdfast:jobs`, this.base, ...requests];
    try {
      const replies = await this.redis.evalsha(sha, 1, words).catch((error: unknown) => {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return this.redis.eval(source, 1, words);
      });
      for (const [index, { resolve }] of batch.entries()) resolve((replies as unknown[])[index]);
    } catch (cause) {
      const message = 'The Redis that keeps the order of jobs failed.';
      const error = new LockStoreError(message, { phase: 'acquire', cause });
      for (const { reject } of batch) reject(error);
    }
  }
}
