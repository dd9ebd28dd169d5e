import { createHash } from 'node:crypto';
import type { StorePhase } from '@holdfast/core';

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
 * The most locks in one script call whose callers wait for the answer. Of many locks, the server then
 * works on some while the client works on others: with 64, in turns, one call for all takes half as
 * long again.
 */
export const AWAITED = 16;

/** How one script call is made about many locks: what is sent, and how the answer is read. */
export interface ManyCall<Q, R> {
  readonly phase: StorePhase;
  readonly script: Script;
  /** The most requests in one call, if not the usual number. */
  readonly most?: number | undefined;
  readonly keyOf: (request: Q) => string;
  /** How many KEYS each request has. */
  readonly keysEach: number;
  readonly writeKeys: (request: Q, words: string[]) => void;
  readonly writeArgs: (requests: readonly Q[], words: string[]) => void;
  /** From the script's answer, the part about one request of so many. */
  readonly read: (answer: unknown, index: number, request: Q, count: number) => R;
}

/** A number in an answer, whatever the client was told to make of numbers. */
export function toNumber(answer: unknown): number {
  if (typeof answer === 'number') return answer;
  const number = Number(toText(answer));
  if (Number.isNaN(number)) throw new Error('The answer of a script is not a number.');
  return number;
}

/** A text in an answer, whatever the client was told to make of texts. */
export function toText(answer: unknown): string {
  return typeof answer === 'string' ? answer : String(answer);
}

/** A list in an answer. */
export function toList(answer: unknown): readonly unknown[] {
  if (!Array.isArray(answer)) throw new Error('The answer of a script is not a list.');
  return answer as readonly unknown[];
}
