import type { StorePhase } from '@holdfast/core';
import { isCluster, type RedisClient, type RedisCluster } from './client.ts';
import { isForeign, toStoreError } from './errors.ts';
import { lockKey } from './names.ts';
import { run, type Script } from './script.ts';
import { slotOf } from './slots.ts';

/** The most locks in one script call: while it runs, the server serves nobody else. */
const MOST = 200;

/**
 * The most where callers wait for the answers. Of many locks, the server then works on some while the
 * client works on others: with 64, in turns, one call for all takes half as long again.
 */
export const AWAITED = 16;

/** How one script call is made about many locks. */
export interface ManyCall<Q, R> {
  readonly phase: StorePhase;
  readonly script: Script;
  /** The most requests in one call, if not {@link MOST}. */
  readonly most?: number;
  readonly keyOf: (request: Q) => string;
  /** How many KEYS each request has. */
  readonly keysEach: number;
  readonly writeKeys: (request: Q, words: string[]) => void;
  readonly writeArgs: (requests: readonly Q[], words: string[]) => void;
  /** From the script's answer, the part about one request of so many. */
  readonly read: (answer: unknown, index: number, request: Q, count: number) => R;
}

/** What becomes of a request: one of these is called, once. */
export interface Outcome<Q, R> {
  readonly answered: (request: Q, reply: R) => void;
  readonly failed: (request: Q, error: unknown) => void;
}

/** Sends scripts to the server: the one, or in a cluster the one that has the slot. */
export class Calls {
  private readonly cluster: boolean;

  constructor(readonly client: RedisClient | RedisCluster) {
    this.cluster = isCluster(client);
  }

  /** About one lock. */
  async one(
    phase: StorePhase,
    script: Script,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown> {
    try {
      return await run(this.client, script, keys.length, [...keys, ...args]);
    } catch (error) {
      throw toStoreError(error, this.client, phase);
    }
  }

  /** About many locks, in as few calls as may be. */
  many<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[], outcome: Outcome<Q, R>): void {
    if (requests.length === 0) return;
    const { most = MOST } = call;
    if (requests.length === 1 || (!this.cluster && requests.length <= most)) {
      this.send(call, requests, outcome);
      return;
    }
    for (const group of this.cluster ? this.bySlot(call, requests) : [requests]) {
      for (let from = 0; from < group.length; from += most) {
        this.send(call, group.slice(from, from + most), outcome);
      }
    }
  }

  /** As {@link many}, with all answers in order; an error for a request that failed. */
  all<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[]): Promise<(R | Error)[]> {
    return new Promise((resolve) => {
      const replies = new Map<Q, R | Error>();
      const settle = (request: Q, reply: R | Error): void => {
        replies.set(request, reply);
        if (replies.size === requests.length) {
          resolve(requests.map((one) => replies.get(one) as R | Error));
        }
      };
      if (requests.length === 0) resolve([]);
      this.many(call, requests, {
        answered: settle,
        failed: (request, error) => settle(request, error as Error),
      });
    });
  }

  private bySlot<Q, R>({ keyOf }: ManyCall<Q, R>, requests: readonly Q[]): Iterable<readonly Q[]> {
    const prefix = this.client.options.keyPrefix ?? '';
    const groups = new Map<number, Q[]>();
    for (const request of requests) {
      const slot = slotOf(prefix + lockKey(keyOf(request)));
      const group = groups.get(slot);
      if (group === undefined) groups.set(slot, [request]);
      else group.push(request);
    }
    return groups.values();
  }

  private send<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[], outcome: Outcome<Q, R>): void {
    const words: string[] = [];
    for (const request of requests) call.writeKeys(request, words);
    call.writeArgs(requests, words);
    const failed = (error: unknown, from = 0): void => {
      // Data of somebody else in the key of one lock is no harm to the others.
      if (requests.length > 1 && isForeign(error)) {
        for (const request of requests) this.send(call, [request], outcome);
        return;
      }
      const cause = toStoreError(error, this.client, call.phase);
      for (const request of requests.slice(from)) outcome.failed(request, cause);
    };
    const count = requests.length;
    run(this.client, call.script, count * call.keysEach, words).then((answer) => {
      for (let index = 0; index < count; index++) {
        const request = requests[index] as Q;
        let reply: R;
        try {
          reply = call.read(answer, index, request, count);
        } catch (error) {
          // No answer of ours, from whatever stands between us and the server.
          failed(error, index);
          return;
        }
        outcome.answered(request, reply);
      }
    }, failed);
  }
}
