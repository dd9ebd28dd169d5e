import type { ClientPort } from '../connection/port.ts';
import { lockKey } from '../redis-keys.ts';
import type { ManyCall } from '../scripts/script.ts';
import { GroupWait } from './group-wait.ts';
import { isCrossSlot, isForeign, toStoreError } from './errors.ts';
import { ScriptSender, watchScripts } from './script-sender.ts';
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

/** Sends scripts to the server: the one, or in a cluster the one that has the slot. */
export class ScriptCalls {
  private readonly sender: ScriptSender;
  /** Whether one request may be about one slot only. */
  private bySlot: boolean;

  /** @param onError told what the client failed with, before it is looked at */
  constructor(
    readonly client: ClientPort,
    private readonly onError: (error: unknown) => void = () => {},
  ) {
    this.bySlot = client.isCluster;
    const serverOf = (lock: string): string => client.primaryOf(slotOf(client.keyPrefix + lock));
    this.sender = new ScriptSender(client, false, client.isCluster ? serverOf : undefined);
  }

  /** Looks after the connection of the client until the returned function is called. */
  watch(): () => void {
    return watchScripts(this.client, this.sender);
  }

  /** About one lock. */
  one<Q, R>(call: ManyCall<Q, R>, request: Q): Promise<R> {
    return this.alone(call, request, () => {});
  }

  /** As {@link many}, for one request, as a promise. `ended` is told first, without a reply if it failed. */
  alone<Q, R>(
    call: ManyCall<Q, R>,
    request: Q,
    ended: (request: Q, reply?: R) => void,
  ): Promise<R> {
    const failed = (error: unknown): never => {
      ended(request);
      throw this.errorOf(error, call);
    };
    const answered = (answer: unknown): R => {
      let reply: R;
      try {
        reply = call.read(answer, 0, request, 1);
      } catch (error) {
        return failed(error);
      }
      ended(request, reply);
      return reply;
    };
    return this.ask(call, [request], answered, failed);
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
          // No answer of ours, from whatever stands between us and the server.
          failed(error, index);
          return;
        }
        outcome.answered(request, reply, group.placeOf(index));
      }
    };
    void this.ask(call, requests, answered, failed);
  }

  private ask<Q, R, T>(
    call: ManyCall<Q, R>,
    requests: readonly Q[],
    answered: (answer: unknown) => T,
    failed: (error: unknown) => T,
  ): Promise<T> {
    const words: string[] = [];
    for (const request of requests) call.writeKeys(request, words);
    call.writeArgs(requests, words);
    return this.sender.run(call.script, requests.length * call.keysEach, words, answered, failed);
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
