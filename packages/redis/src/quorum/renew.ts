import type { RenewReply, RenewRequest, StoreLoss } from '@holdfast/core';
import {
  askAll,
  count,
  errorsOf,
  heldVerdictOf,
  tally,
  tooManyFailed,
  valuesOf,
  type Vote,
} from './majority.ts';
import type { QuorumAcquisitions } from './acquisitions.ts';
import type { QuorumClock, QuorumNode } from './node.ts';
import { leaseOf, type AnswerLimits } from './timeouts.ts';

/** What is known of a loss, the most telling first. */
const REASONS: readonly StoreLoss[] = ['superseded', 'forced', 'stolen', 'evicted'];

type Replies = readonly RenewReply[];

/** Renews what a majority still has; one request to each server for all. */
export class Renewals {
  constructor(
    private readonly nodes: readonly QuorumNode[],
    private readonly clock: QuorumClock,
    private readonly acquisitions: QuorumAcquisitions,
  ) {}

  async renew(requests: readonly RenewRequest[], limits: AnswerLimits): Promise<Replies> {
    if (requests.length === 0) return [];
    const { clock, acquisitions } = this;
    const sentAt = clock.now();
    for (const { key, id, ttl } of requests) acquisitions.get(key, id)?.keep(ttl);
    const asked = askAll(this.nodes, 'renew', async (node, place) =>
      this.standing(requests, place, await node.renew(requests)),
    );
    const replies = await count(asked, limits, clock, (votes) => {
      const decided = requests.map((_, index) => replyOf(votes, index));
      return decided.every((reply) => reply !== undefined) ? decided : undefined;
    });
    const elapsed = clock.now() - sentAt;
    return requests.map(({ key, id, ttl }, index) => {
      const reply = replies[index] as RenewReply;
      if (reply === 'renewed') {
        if (ttl > 0) this.healLater(asked, index, key, id, ttl);
        return ttl > 0 && elapsed >= leaseOf(ttl)
          ? new Error('The renewal was confirmed too late to be relied on.')
          : reply;
      }
      // What a minority has is of no use any more, and would be in others' way.
      if (!(reply instanceof Error)) acquisitions.get(key, id)?.undo();
      return reply;
    });
  }

  /** What a server has renewed although it may end any moment is as good as gone. */
  private standing(requests: readonly RenewRequest[], place: number, replies: Replies): Replies {
    return replies.map((reply, index) => {
      const { key, id } = requests[index] as RenewRequest;
      const nodeGrant = this.acquisitions.get(key, id)?.nodeGrants[place];
      return reply === 'renewed' && nodeGrant?.stands === false ? 'evicted' : reply;
    });
  }

  /**
   * A server that has nothing of a lock, because it was away or has forgotten, is asked to take part
   * again, while a majority stands. So servers may be restarted one after the other.
   */
  private healLater(
    asked: readonly Promise<Replies>[],
    index: number,
    key: string,
    id: string,
    ttl: number,
  ): void {
    const acquisition = this.acquisitions.get(key, id);
    const { request } = acquisition ?? {};
    if (acquisition === undefined || request === undefined) return;
    const until = this.clock.now() + ttl / 3;
    const wanted = (): boolean => !acquisition.released && this.clock.now() < until;
    for (const [node, answer] of asked.entries()) {
      const heal = (replies: Replies): void => {
        if (replies[index] !== 'evicted' || !wanted()) return;
        acquisition.nodeGrants[node]?.heal({ ...request, ttl, replaces: undefined }, wanted);
      };
      answer.then(heal, () => {});
    }
  }
}

/** What the servers say of one of the requests. */
function replyOf(votes: readonly Vote<Replies>[], index: number): RenewReply | undefined {
  const own = votes.map((vote): Vote<Exclude<RenewReply, Error>> => {
    if (vote === undefined || 'error' in vote) return vote;
    const reply = vote.value[index] ?? new Error('The server gave no answer for this lock.');
    return reply instanceof Error ? { error: reply } : { value: reply };
  });
  switch (heldVerdictOf(tally(own, (reply) => reply === 'renewed'))) {
    case 'yes':
      return 'renewed';
    case 'no':
      return REASONS.find((reason) => valuesOf(own).includes(reason)) ?? 'evicted';
    case 'failed':
      return tooManyFailed('renew', own.length, errorsOf(own));
    default:
      return undefined;
  }
}
