import { LockStoreError } from '@holdfast/core';
import type { OrderOptions, OrderRedis } from '../types.ts';
import type { StartedJobs } from './started-jobs.ts';
import type { Ticket } from './ticket.ts';
import { JOIN, LEAVE, PARK, TEND, TOOK, type Script } from './scripts.ts';

/** What a run of a job is told of its turn. */
export type Turn =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'pending'; readonly jobs: readonly string[] }
  | {
      readonly kind: 'go' | 'behind';
      readonly ahead: number;
      readonly waited: number;
      readonly again: boolean;
    };

export interface Wakes {
  readonly wake: readonly string[];
  readonly watch: readonly string[];
}

/** The scripts of a line, for one queue. */
export class LineScripts {
  private readonly base: string;
  private readonly redis: OrderRedis;

  constructor({ queue, redis }: OrderOptions) {
    this.base = queue.toKey('');
    this.redis = redis;
  }

  async join(
    ticket: Ticket,
    { names, unknown }: Pick<StartedJobs, 'names' | 'unknown'>,
  ): Promise<Turn> {
    const { id, run, sort, ttl, keys } = ticket;
    const nobodys = Object.fromEntries(Array.from(unknown, (job) => [job, true]));
    const lists = [JSON.stringify(names), JSON.stringify(nobodys)];
    const words = [id, run, sort, ...lists, String(ttl), ...keys];
    const [kind, ...rest] = (await this.call(JOIN, words)) as [Turn['kind'], ...unknown[]];
    if (kind === 'unknown') return { kind };
    if (kind === 'pending') return { kind, jobs: rest as string[] };
    const [ahead, waited, again] = rest as [number, number, number];
    return { kind, ahead, waited, again: again === 1 };
  }

  async took({ id, run }: Ticket, safety: number): Promise<readonly string[]> {
    return (await this.call(TOOK, [id, run, String(safety)])) as string[];
  }

  async leave({ id, run }: Ticket, safety: number): Promise<Wakes> {
    const answer = await this.call(LEAVE, [id, run, String(safety)]);
    const [wake, watch] = answer as [string[], string[]];
    return { wake, watch };
  }

  /** @param delay absent to look again */
  async park({ id, run }: Ticket, delay?: number): Promise<{ wake: string[]; unsure: boolean }> {
    const answer = await this.call(PARK, [id, run, String(delay ?? '')]);
    const [wake, unsure] = answer as [string[], number];
    return { wake, unsure: unsure === 1 };
  }

  /** @param held whether jobs that run here hold these keys */
  async tend(
    keys: readonly string[],
    held: boolean,
    safety: number,
  ): Promise<{ watch: readonly string[]; waiting: readonly string[] }> {
    const words = [held ? 'held' : '', '', String(safety), ...keys];
    const [watch, still] = (await this.call(TEND, words)) as [string[], string[]];
    return { watch, waiting: still };
  }

  /** Only the first key is one to Redis: all are in its slot, and none of them has the client's prefix. */
  private async call({ sha, source }: Script, args: readonly string[]): Promise<unknown> {
    const words = [`${this.base}holdfast:jobs`, this.base, ...args];
    try {
      return await this.redis.evalsha(sha, 1, words).catch((error: unknown) => {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return this.redis.eval(source, 1, words);
      });
    } catch (cause) {
      const message = 'The Redis that keeps the order of jobs failed.';
      throw new LockStoreError(message, { phase: 'acquire', cause });
    }
  }
}
