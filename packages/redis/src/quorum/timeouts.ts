import { driftOf } from '@holdfast/core';

/** A straggler has a tenth of the ttl for its answer, in these bounds, in ms. */
const SHORTEST = 50;
const LONGEST = 500;

/** A locker gives a request half of the ttl, at most 2 s; the answer must come before. */
const LIMIT_RATIO = 0.4;
const LONGEST_LIMIT = 1_600;

/** How long answers are waited for, in ms. */
export interface AnswerLimits {
  /** From a server, where a majority has answered; longer if that took more than half of it. */
  readonly straggler: number;
  /** From all, where no majority has. */
  readonly limit: number;
}

/** For how long a grant of `ttl` ms may be relied on, from before it was asked for. */
export function leaseOf(ttl: number): number {
  return ttl - driftOf(ttl);
}

/** Without a ttl it is not about a lease. */
export function answerLimitsFor(
  ttl: number | undefined,
  nodeTimeout: number | undefined,
): AnswerLimits {
  const usual = ttl === undefined ? LONGEST : Math.min(Math.max(ttl / 10, SHORTEST), LONGEST);
  const straggler = nodeTimeout ?? usual;
  const limit = Math.min((ttl ?? Infinity) * LIMIT_RATIO, LONGEST_LIMIT);
  return { straggler, limit: Math.max(straggler, limit) };
}
