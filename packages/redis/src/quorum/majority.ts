import { LockStoreError, type StorePhase } from '@holdfast/core';
import type { QuorumClock, QuorumNode, QuorumTimer } from './node.ts';
import type { AnswerLimits } from './timeouts.ts';

/** What became of a request to one server; nothing while that is open. */
export type Vote<V> = { readonly value: V } | { readonly error: unknown } | undefined;

/** More than half. */
export const majorityOf = (size: number): number => Math.floor(size / 2) + 1;

/** How many servers have said what. */
export interface Tally {
  readonly size: number;
  readonly yes: number;
  readonly no: number;
  readonly failed: number;
}

export type Verdict = 'yes' | 'no' | 'failed';

/**
 * What a majority says, as soon as no answer that is still open can change it: `yes`; `no` if a
 * majority has answered, but cannot say yes any more; else `failed`.
 */
export function verdictOf({ size, yes, no, failed }: Tally): Verdict | undefined {
  const majority = majorityOf(size);
  const open = size - yes - no - failed;
  if (yes >= majority) return 'yes';
  if (failed > size - majority) return 'failed';
  return yes + open < majority && yes + no >= majority ? 'no' : undefined;
}

/**
 * Whether what was held is held: `no` only if no majority can have it any more, whatever those would
 * say that did not answer.
 */
export function heldVerdictOf({ size, yes, no, failed }: Tally): Verdict | undefined {
  const majority = majorityOf(size);
  const open = size - yes - no - failed;
  if (yes >= majority) return 'yes';
  if (no > size - majority) return 'no';
  return yes + open < majority && no + open <= size - majority ? 'failed' : undefined;
}

export function tally<V>(votes: readonly Vote<V>[], isYes: (value: V) => boolean): Tally {
  let [yes, no, failed] = [0, 0, 0];
  for (const vote of votes) {
    if (vote === undefined) continue;
    if ('error' in vote) failed += 1;
    else if (isYes(vote.value)) yes += 1;
    else no += 1;
  }
  return { size: votes.length, yes, no, failed };
}

/** The answers that are there. */
export function valuesOf<V>(votes: readonly Vote<V>[]): V[] {
  return votes.flatMap((vote) => (vote !== undefined && 'value' in vote ? [vote.value] : []));
}

/** The errors that are there. */
export function errorsOf<V>(votes: readonly Vote<V>[]): unknown[] {
  return votes.flatMap((vote) => (vote !== undefined && 'error' in vote ? [vote.error] : []));
}

/** Asks each server, but for those that there is no use in asking. */
export function askAll<V>(
  nodes: readonly QuorumNode[],
  phase: StorePhase,
  send: (node: QuorumNode, place: number) => Promise<V>,
): Promise<V>[] {
  return nodes.map(async (node, place) => {
    const problem = node.problem(phase);
    if (problem !== undefined) throw problem;
    return send(node, place);
  });
}

/**
 * Waits for the answers of all servers until it is decided. When a majority has answered, the others
 * may take as long again, and `straggler` ms in all; no answer is waited for longer than `limit`. Who
 * has not answered by then has failed.
 *
 * @param decide called with all votes when there is another one; answers when it has decided, at the
 * latest when all votes are in
 */
export function count<V, D>(
  asked: readonly Promise<V>[],
  { straggler, limit }: AnswerLimits,
  clock: QuorumClock,
  decide: (votes: readonly Vote<V>[]) => D | undefined,
): Promise<D> {
  return new Promise((resolve, reject) => {
    const startedAt = clock.now();
    const votes: Vote<V>[] = asked.map(() => undefined);
    let answers = 0;
    let decided = false;
    const look = (): void => {
      try {
        const decision = decide(votes);
        if (decision === undefined) return;
        resolve(decision);
      } catch (error) {
        reject(error);
      }
      decided = true;
      clock.clearTimeout(timer);
    };
    const closeIn = (ms: number): QuorumTimer =>
      clock.setTimeout(() => {
        if (decided) return;
        const error = new Error('The server did not answer in time.');
        for (const [index, vote] of votes.entries()) votes[index] = vote ?? { error };
        look();
      }, ms);
    let timer = closeIn(limit);
    const enter = (index: number, vote: Vote<V>): void => {
      if (decided) return;
      votes[index] = vote;
      look();
    };
    const answered = (index: number, value: V): void => {
      answers += 1;
      enter(index, { value });
      if (decided || answers !== majorityOf(votes.length)) return;
      const taken = clock.now() - startedAt;
      clock.clearTimeout(timer);
      timer = closeIn(Math.min(limit, Math.max(straggler, taken * 2)) - taken);
    };
    for (const [index, answer] of asked.entries()) {
      answer.then(
        (value) => answered(index, value),
        (error: unknown) => enter(index, { error }),
      );
    }
  });
}

/** Too many servers failed. It is permanent if a majority cannot be reached whatever heals by itself. */
export function tooManyFailed(phase: StorePhase, size: number, errors: unknown[]): LockStoreError {
  const permanent = errors.filter((error) => error instanceof LockStoreError && error.permanent);
  const cause = new AggregateError(errors, `${errors.length} of ${size} servers failed.`);
  return new LockStoreError(`No majority of ${size} servers answered (${phase}).`, {
    phase,
    permanent: permanent.length > size - majorityOf(size),
    cause,
  });
}
