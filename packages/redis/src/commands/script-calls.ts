import type { StorePhase } from '@holdfast/core';
import type { ClientPort } from '../connection/port.ts';
import { isCrossSlot, isForeign, toStoreError } from './errors.ts';
import { lockKey } from '../redis-keys.ts';
import { run, type Script } from '../scripts/script.ts';
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
  /** Whether the keys of one call must be in one slot. */
  private cluster: boolean;

  constructor(readonly client: ClientPort) {
    this.cluster = client.isCluster;
  }

  /** About one lock. */
  one(
    phase: StorePhase,
    script: Script,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown> {
    const { client } = this;
    return run<unknown>(client, script, keys.length, [...keys, ...args], itself, (error) => {
      throw toStoreError(error, client, phase);
    });
  }

  /** As {@link many}, for one request, as a promise. `ended` is told first, without a reply if it failed. */
  alone<Q, R>(
    call: ManyCall<Q, R>,
    request: Q,
    ended: (request: Q, reply?: R) => void,
  ): Promise<R> {
    const failed = (error: unknown): never => {
      ended(request);
      throw toStoreError(error, this.client, call.phase);
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
    const { most = MOST } = call;
    const whole: Group<Q> = { requests, placeOf: itself };
    if (requests.length === 1 || (!this.cluster && requests.length <= most)) {
      this.send(call, whole, outcome);
      return;
    }
    for (const group of this.cluster ? this.bySlot(call, requests) : [whole]) {
      for (let from = 0; from < group.requests.length; from += most) {
        this.send(call, part(group, from, from + most), outcome);
      }
    }
  }

  /** As {@link many}, with all answers in order; an error for a request that failed. */
  all<Q, R>(call: ManyCall<Q, R>, requests: readonly Q[]): Promise<(R | Error)[]> {
    return new Promise((resolve) => {
      const replies = Array<R | Error>(requests.length);
      let open = requests.length;
      const settle = (reply: R | Error, place: number): void => {
        replies[place] = reply;
        open -= 1;
        if (open === 0) resolve(replies);
      };
      if (open === 0) resolve(replies);
      this.many(call, requests, {
        answered: (_request, reply, place) => settle(reply, place),
        failed: (_request, error, place) => settle(error as Error, place),
      });
    });
  }

  private bySlot<Q, R>({ keyOf }: ManyCall<Q, R>, requests: readonly Q[]): Group<Q>[] {
    const { keyPrefix: prefix } = this.client;
    const slots = new Map<number, number[]>();
    for (const [place, request] of requests.entries()) {
      const slot = slotOf(prefix + lockKey(keyOf(request)));
      const places = slots.get(slot);
      if (places === undefined) slots.set(slot, [place]);
      else places.push(place);
    }
    return Array.from(slots.values(), (places) => ({
      requests: places.map((place) => requests[place] as Q),
      placeOf: (index) => places[index] as number,
    }));
  }

  private send<Q, R>(call: ManyCall<Q, R>, group: Group<Q>, outcome: Outcome<Q, R>): void {
    const { requests } = group;
    const count = requests.length;
    const failed = (error: unknown, from = 0): void => {
      // Data of somebody else in the key of one lock is no harm to the others.
      if (count > 1 && isForeign(error)) {
        for (let index = 0; index < count; index++) {
          this.send(call, part(group, index, index + 1), outcome);
        }
        return;
      }
      // A server with shards behind a client that knows of none: nothing has been done.
      if (count > 1 && isCrossSlot(error)) {
        this.cluster = true;
        this.many(call, requests, {
          answered: (request, reply, index) =>
            outcome.answered(request, reply, group.placeOf(index)),
          failed: (request, cause, index) => outcome.failed(request, cause, group.placeOf(index)),
        });
        return;
      }
      const cause = toStoreError(error, this.client, call.phase);
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
    return run(this.client, call.script, requests.length * call.keysEach, words, answered, failed);
  }
}

const itself = <T>(value: T): T => value;

const part = <Q>({ requests, placeOf }: Group<Q>, from: number, to: number): Group<Q> => ({
  requests: requests.slice(from, to),
  placeOf: (index) => placeOf(from + index),
});
