import type { StorePhase } from '@holdfast/core';
import { isCluster, type RedisClient, type RedisCluster } from './client.ts';
import { isForeign, toStoreError } from './errors.ts';
import { lockKey } from './names.ts';
import { run, type Script } from './script.ts';
import { slotOf } from './slots.ts';

/** The most locks in one script call: while it runs, the server serves nobody else. */
const MOST = 200;

/** One script call about many locks of one kind. */
export interface ManyCall<Q, R> {
  readonly phase: StorePhase;
  readonly script: Script;
  readonly keyOf: (request: Q) => string;
  readonly keys: (request: Q, keys: string[]) => unknown;
  readonly args: (request: Q, args: string[]) => unknown;
  /** Before those of the requests. */
  readonly head?: readonly string[] | undefined;
  /** From what the script answered, the part about one request. */
  readonly reply: (replies: readonly unknown[], index: number) => R;
  readonly answered: (request: Q, reply: R) => void;
  readonly failed: (request: Q, error: unknown) => void;
}

interface Indexed<Q> {
  readonly request: Q;
  readonly index: number;
}

/** Sends scripts to the server: one, or in a cluster the one that has the slot. */
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
      return await run(this.client, script, keys, args);
    } catch (error) {
      throw toStoreError(error, this.client, phase);
    }
  }

  /** About many locks, in as few calls as may be. Each request is answered or fails, once. */
  many<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[]): void {
    if (requests.length === 0) return;
    if (requests.length === 1 || (!this.cluster && requests.length <= MOST)) {
      this.send(call, requests);
      return;
    }
    for (const group of this.groups(call, requests)) {
      for (let from = 0; from < group.length; from += MOST) {
        this.send(call, group.slice(from, from + MOST));
      }
    }
  }

  /** As {@link many}, with all answers in order; an error for a request that failed. */
  all<Q, R>(
    call: Omit<ManyCall<Q, R>, 'answered' | 'failed'>,
    requests: readonly Q[],
  ): Promise<(R | Error)[]> {
    return new Promise((resolve) => {
      const replies: (R | Error)[] = [];
      let open = requests.length;
      const settle = (index: number, reply: R | Error): void => {
        replies[index] = reply;
        open -= 1;
        if (open === 0) resolve(replies);
      };
      if (open === 0) resolve(replies);
      const { phase, script, head, reply } = call;
      this.many<Indexed<Q>, R>(
        {
          phase,
          script,
          head,
          reply,
          keyOf: ({ request }) => call.keyOf(request),
          keys: ({ request }, keys) => call.keys(request, keys),
          args: ({ request }, args) => call.args(request, args),
          answered: ({ index }, answer) => settle(index, answer),
          failed: ({ index }, error) => settle(index, error as Error),
        },
        requests.map((request, index) => ({ request, index })),
      );
    });
  }

  private groups<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[]): Iterable<readonly Q[]> {
    if (!this.cluster) return [requests];
    const prefix = this.client.options.keyPrefix ?? '';
    const groups = new Map<number, Q[]>();
    for (const request of requests) {
      const slot = slotOf(prefix + lockKey(call.keyOf(request)));
      const group = groups.get(slot);
      if (group === undefined) groups.set(slot, [request]);
      else group.push(request);
    }
    return groups.values();
  }

  private send<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[]): void {
    const { phase, script, reply, answered, failed, head = [] } = call;
    const keys: string[] = [];
    const args: string[] = [...head];
    for (const request of requests) {
      call.keys(request, keys);
      call.args(request, args);
    }
    const fail = (error: unknown): void => {
      // One lock's key with data of somebody else is no harm to the others.
      if (requests.length > 1 && isForeign(error)) {
        for (const request of requests) this.send(call, [request]);
        return;
      }
      const cause = toStoreError(error, this.client, phase);
      for (const request of requests) failed(request, cause);
    };
    run(this.client, script, keys, args).then((replies) => {
      for (const [index, request] of requests.entries()) {
        answered(request, reply(replies as unknown[], index));
      }
    }, fail);
  }
}
