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
import type { NodeAcquireReply, NodeAcquireRequest, QuorumClock } from './node.ts';
import { leaseOf, type AnswerLimits } from './timeouts.ts';

type Votes = readonly Vote<NodeAcquireReply>[];

/** What the servers answered in one round, and what follows. */
interface Round {
  readonly verdict: Verdict;
  readonly votes: Votes;
}

/** An acquisition, and the grant that it replaces. */
interface RoundRequest {
  readonly acquisition: QuorumAcquisition;
  readonly request: NodeAcquireRequest;
  readonly predecessor: QuorumAcquisition | undefined;
}

/** Asks for grants: a majority of them is one, anything less is undone. */
export class QuorumAcquire {
  constructor(
    private readonly clock: QuorumClock,
    private readonly acquisitions: QuorumAcquisitions,
  ) {}

  async acquire(
    acquisition: QuorumAcquisition,
    asked: AcquireRequest,
    startedAt: number,
    limits: AnswerLimits,
  ): Promise<AcquireReply> {
    const { clock } = this;
    const { key, id, owner, label, ttl, tokens, replaces, wait } = asked;
    const request: NodeAcquireRequest = { key, id, owner, label, ttl, replaces };
    const predecessor =
      replaces === undefined ? undefined : this.acquisitions.recall(key, replaces);
    const roundRequest: RoundRequest = { acquisition, request, predecessor };
    acquisition.request = request;
    for (let round = 1; ; round++) {
      const roundAt = clock.now();
      const { verdict, votes } = await this.round(roundRequest, limits);
      const now = clock.now();
      const replaced = predecessor && endReplaced(predecessor);
      if (verdict === 'yes' && !acquisition.released && now - startedAt < leaseOf(ttl)) {
        if (replaced === true && predecessor !== undefined) predecessor.ended = true;
        return { granted: true, token: 0, tokens, replaced };
      }
      acquisition.undo();
      if (verdict === 'yes') throw new Error('The lock was granted too late to be used safely.');
      if (verdict === 'failed') throw tooManyFailed('acquire', votes.length, errorsOf(votes));
      const rest = clock.random() * 2 ** round * Math.max(now - roundAt, 2);
      const isLate = now + rest - startedAt > limits.straggler / 2;
      if (wait || isLate || acquisition.released || isHeld(votes)) {
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
    { acquisition, request, predecessor }: RoundRequest,
    limits: AnswerLimits,
  ): Promise<Round> {
    let open = true;
    const wanted = (): boolean => open && !acquisition.released;
    const asked = acquisition.nodeGrants.map(async (nodeGrant, index) => {
      const reply = await nodeGrant.ask(request, wanted);
      if (reply.replaced) predecessor?.nodeGrants[index]?.replaced();
      return reply;
    });
    try {
      return await count(asked, limits, this.clock, (votes) => {
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
  const { nodeGrants, ended } = predecessor;
  const freed = nodeGrants.filter((nodeGrant) => nodeGrant.freed).length;
  predecessor.released = true;
  predecessor.undo();
  predecessor.cleared();
  return !ended && freed >= majorityOf(nodeGrants.length);
}

/** Whether one other has a majority. */
function isHeld(votes: Votes): boolean {
  const holders = valuesOf(votes).flatMap(({ granted, holder }) =>
    granted || holder === undefined ? [] : [holder],
  );
  const majority = majorityOf(votes.length);
  return holders.some((id) => holders.filter((other) => other === id).length >= majority);
}
