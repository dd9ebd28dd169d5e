import type { AcquireReply, AcquireRequest } from '@holdfast/core';
import {
  count,
  errorsOf,
  majorityOf,
  tally,
  tooManyFailed,
  valuesOf,
  verdictOf,
  type Verdict,
  type Vote,
} from './majority.ts';
import type { QuorumAcquisition, QuorumAcquisitions } from './acquisitions.ts';
import type { ClaimReply, ClaimRequest, QuorumClock } from './node.ts';
import { leaseOf, type AnswerLimits } from './timeouts.ts';

type Votes = readonly Vote<ClaimReply>[];

/** What the servers answered in one round, and what follows. */
interface Round {
  readonly verdict: Verdict;
  readonly votes: Votes;
}

/** An acquisition, and the grant that it replaces. */
interface Attempt {
  readonly claim: QuorumAcquisition;
  readonly request: ClaimRequest;
  readonly predecessor: QuorumAcquisition | undefined;
}

/** Asks for grants: a majority of them is one, anything less is undone. */
export class QuorumAcquire {
  constructor(
    private readonly clock: QuorumClock,
    private readonly claims: QuorumAcquisitions,
  ) {}

  async acquire(
    claim: QuorumAcquisition,
    asked: AcquireRequest,
    startedAt: number,
    patience: AnswerLimits,
  ): Promise<AcquireReply> {
    const { clock } = this;
    const { key, id, owner, label, ttl, tokens, replaces, wait } = asked;
    const request: ClaimRequest = { key, id, owner, label, ttl, replaces };
    const predecessor = replaces === undefined ? undefined : this.claims.recall(key, replaces);
    const attempt: Attempt = { claim, request, predecessor };
    claim.request = request;
    for (let round = 1; ; round++) {
      const roundAt = clock.now();
      const { verdict, votes } = await this.round(attempt, patience);
      const now = clock.now();
      const replaced = predecessor && endReplaced(predecessor);
      if (verdict === 'yes' && !claim.released && now - startedAt < leaseOf(ttl)) {
        if (replaced === true && predecessor !== undefined) predecessor.ended = true;
        return { granted: true, token: 0, tokens, replaced };
      }
      claim.undo();
      if (verdict === 'yes') throw new Error('The grant came late.');
      if (verdict === 'failed') throw tooManyFailed('acquire', votes.length, errorsOf(votes));
      const rest = clock.random() * 2 ** round * Math.max(now - roundAt, 2);
      const isLate = now + rest - startedAt > patience.straggler / 2;
      if (wait || isLate || claim.released || isHeld(votes)) {
        if (replaced === true && predecessor !== undefined) predecessor.ended = true;
        return { granted: false, replaced };
      }
      // Nobody has it, because all who want it came at the same time.
      await new Promise<void>((resolve) => {
        clock.setTimeout(resolve, rest);
      });
    }
  }

  /** Asks all servers once. */
  private async round(
    { claim, request, predecessor }: Attempt,
    patience: AnswerLimits,
  ): Promise<Round> {
    let open = true;
    const wanted = (): boolean => open && !claim.released;
    const asked = claim.stakes.map(async (stake, index) => {
      const reply = await stake.ask(request, wanted);
      if (reply.replaced) predecessor?.stakes[index]?.replaced();
      return reply;
    });
    try {
      return await count(asked, patience, this.clock, (votes) => {
        const verdict = verdictOf(tally(votes, ({ granted }) => granted));
        return verdict === undefined ? undefined : { verdict, votes: [...votes] };
      });
    } finally {
      open = false;
    }
  }
}

/** Whether a grant that was to be replaced was there; ends it where it still is. */
function endReplaced(predecessor: QuorumAcquisition): boolean {
  const { stakes, ended } = predecessor;
  const freed = stakes.filter((stake) => stake.freed).length;
  predecessor.released = true;
  predecessor.undo();
  predecessor.cleared();
  return !ended && freed >= majorityOf(stakes.length);
}

/** Whether one other has a majority. */
function isHeld(votes: Votes): boolean {
  const holders = valuesOf(votes).flatMap(({ granted, holder }) =>
    granted || holder === undefined ? [] : [holder],
  );
  const majority = majorityOf(votes.length);
  return holders.some((id) => holders.filter((other) => other === id).length >= majority);
}
