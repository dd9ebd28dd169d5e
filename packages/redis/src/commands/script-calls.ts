import type { ClientPort } from '../connection/port.ts';
import { lockKey } from '../redis-keys.ts';
import type { ManyCall, Script } from '../scripts/script.ts';
import { GroupWait } from './group-wait.ts';
import { isCrossSlot, isForeign, isNoScript, toStoreError } from './errors.ts';
import { slotOf } from './slots.ts';

/** The most locks in one script call: while it runs, the server serves nobody else. */
const MOST = 200;

/** What becomes of a request, with its place among those it was sent with: one of these is called, once. */
export interface Outcome<Q, R> {
  readonly answered: (request: Q, reply: R, place: number) => void;
  readonly failed: (request: Q, error: unknown, place: number) => void;
}

/** Requests for one call, and their places among those that they were sent with. */
interface Group<Q> {
  readonly requests: readonly Q[];
  readonly placeOf: (index: number) => number;
}

/**
 * Sends scripts to the server: the one, or in a cluster the one that has the slot. They go by their
 * names, and by their texts where the server does not know them: also without asking, as long as it is
 * not known that it does, because a round trip more may cost a lock.
 */
export class ScriptCalls {
  /** Whether one request may be about one slot only. */
  private bySlot: boolean;
  /** By server: the scripts that it knows, as long as its connection lasts. Nothing is known while nobody watches that. */
  private readonly loaded = new Map<string, Set<string>>();
  private isWatched = false;

  /** @param onError told what the client failed with, before it is looked at */
  constructor(
    readonly client: ClientPort,
    private readonly onError: (error: unknown) => void = () => {},
  ) {
    this.bySlot = client.isCluster;
  }

  /** Looks after the connection of the client until the returned function is called. */
  watch(): () => void {
    // Another server may take the place of the one that the connection was to.
    const forget = (): void => this.loaded.clear();
    const unwatch = this.client.watch({ away: forget, closed: forget, primaryGone: forget });
    this.isWatched = true;
    return () => {
      unwatch();
      this.isWatched = false;
      forget();
    };
  }

  /**
   * About one lock.
   *
   * @param ended told first, without a reply if it failed
   */
  one<Q, R>(call: ManyCall<Q, R>, request: Q, ended?: (request: Q, reply?: R) => void): Promise<R> {
    const failed = (error: unknown): never => {
      ended?.(request);
      throw this.errorOf(error, call);
    };
    const answered = (answer: unknown): R => {
      let reply: R;
      try {
        reply = call.read(answer, 0, request, 1);
      } catch (error) {
        // No answer of ours, from whatever stands between us and the server.
        return failed(error);
      }
      ended?.(request, reply);
      return reply;
    };
    return this.run(call, [request], answered, failed);
  }

  /** About many locks, in as few calls as may be. */
  many<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[], outcome: Outcome<Q, R>): void {
    if (requests.length === 0) return;
    this.sendGroup(call, { requests, placeOf: itself }, outcome);
  }

  /**
   * As {@link many}, with all answers in order; an error for a request that failed. Servers that answer
   * do not wait for one that does not: when nothing has come for `maxGap` ms since the last answer,
   * what is still open has failed.
   */
  all<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[], maxGap?: number): Promise<(R | Error)[]> {
    return new Promise((resolve) => {
      const wait = new GroupWait<R>(requests.length, maxGap, resolve);
      this.many(call, requests, {
        answered: (_request, reply, place) => wait.settle(reply, place),
        failed: (_request, error, place) => wait.settle(asError(error), place),
      });
    });
  }

  private sendGroup<Q, R>(call: ManyCall<Q, R>, whole: Group<Q>, outcome: Outcome<Q, R>): void {
    const { most = MOST } = call;
    const { length } = whole.requests;
    if (length === 1 || (!this.bySlot && length <= most)) {
      this.send(call, whole, outcome);
      return;
    }
    for (const group of this.bySlot ? this.groupsOf(call, whole) : [whole]) {
      for (let from = 0; from < group.requests.length; from += most) {
        this.send(call, part(group, from, from + most), outcome);
      }
    }
  }

  /** Those of one slot each. */
  private groupsOf<Q, R>({ keyOf }: ManyCall<Q, R>, whole: Group<Q>): Group<Q>[] {
    const { requests, placeOf } = whole;
    const { keyPrefix: prefix } = this.client;
    const slots = new Map<number, number[]>();
    for (const [index, request] of requests.entries()) {
      const slot = slotOf(prefix + lockKey(keyOf(request)));
      const indexes = slots.get(slot);
      if (indexes === undefined) slots.set(slot, [index]);
      else indexes.push(index);
    }
    return Array.from(slots.values(), (indexes) => ({
      requests: indexes.map((index) => requests[index] as Q),
      placeOf: (index) => placeOf(indexes[index] as number),
    }));
  }

  private send<Q, R>(call: ManyCall<Q, R>, group: Group<Q>, outcome: Outcome<Q, R>): void {
    const { requests } = group;
    const count = requests.length;
    const failed = (error: unknown, from = 0): void => {
      if (count > 1 && isCrossSlot(error)) {
        // Shards behind one address. Nothing has been done: from now on each slot is asked by itself.
        this.bySlot = true;
        this.sendGroup(call, group, outcome);
        return;
      }
      // Data of somebody else in the key of one lock is no harm to the others.
      if (count > 1 && isForeign(error)) {
        for (let index = 0; index < count; index++) {
          this.send(call, part(group, index, index + 1), outcome);
        }
        return;
      }
      const cause = this.errorOf(error, call);
      for (let index = from; index < count; index++) {
        outcome.failed(requests[index] as Q, cause, group.placeOf(index));
      }
    };
    const answered = (answer: unknown): void => {
      for (let index = 0; index < count; index++) {
        const request = requests[index] as Q;
        let reply: R;
        try {
          reply = call.read(answer, index, request, count);
        } catch (error) {
          failed(error, index);
          return;
        }
        outcome.answered(request, reply, group.placeOf(index));
      }
    };
    void this.run(call, requests, answered, failed);
  }

  /**
   * @param answered told the answer; what it returns is the result
   * @param failed told the error, where there is none
   */
  private run<Q, R, T>(
    call: ManyCall<Q, R>,
    requests: readonly Q[],
    answered: (answer: unknown) => T,
    failed: (error: unknown) => T,
  ): Promise<T> {
    const words: string[] = [];
    for (const request of requests) call.writeKeys(request, words);
    call.writeArgs(requests, words);
    const { client } = this;
    const { script, keysEach } = call;
    const keys = requests.length * keysEach;
    const server = client.isCluster ? this.serverOf(words[0] as string) : '';
    const known = this.loaded.get(server);
    if (this.isWatched && known?.has(script.sha) !== true) {
      return this.load(server, script, keys, words).then(answered, failed);
    }
    return client.evalsha(script.sha, keys, words).then(answered, (error: unknown) => {
      if (!isNoScript(error)) return failed(error);
      this.loaded.delete(server);
      return client.eval(script.source, keys, words).then(answered, failed);
    });
  }

  /** Runs a script by its text. A connection serves in order: what comes behind this finds the script. */
  private async load(
    server: string,
    { sha, source }: Script,
    keys: number,
    words: string[],
  ): Promise<unknown> {
    const known = this.loaded.get(server);
    if (known === undefined) this.loaded.set(server, new Set([sha]));
    else known.add(sha);
    try {
      return await this.client.eval(source, keys, words);
    } catch (error) {
      this.loaded.get(server)?.delete(sha);
      throw error;
    }
  }

  private serverOf(lock: string): string {
    return this.client.primaryOf(slotOf(this.client.keyPrefix + lock));
  }

  private errorOf<Q, R>(error: unknown, { phase }: ManyCall<Q, R>): unknown {
    this.onError(error);
    return toStoreError(error, this.client, phase);
  }
}

const itself = <T>(value: T): T => value;

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error));

const part = <Q>({ requests, placeOf }: Group<Q>, from: number, to: number): Group<Q> => ({
  requests: requests.slice(from, to),
  placeOf: (index) => placeOf(from + index),
});
