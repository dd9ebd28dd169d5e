import type { RenewReply, RenewRequest, StoreLoss } from '@holdfast/core';
import { LOSSES } from '../scripts/loss.ts';
import type { ManyCall } from '../scripts/script.ts';
import type { ScriptCalls } from './script-calls.ts';

/** How long servers are waited for when others have answered, in ms, and as a part of the shortest ttl. */
export const LONGEST_GAP = 250;
const LONGEST_GAP_RATIO = 0.2;

/** Renews grants, and finds out why those are gone that are. */
export async function renewAll(
  calls: ScriptCalls,
  renewals: ManyCall<RenewRequest, RenewReply | undefined>,
  requests: readonly RenewRequest[],
): Promise<readonly RenewReply[]> {
  const maxGap = maxGapFor(requests);
  const replies = await calls.all(renewals, requests, maxGap);
  const gone = requests.filter((_, index) => replies[index] === undefined);
  const reasons = gone.length === 0 ? [] : await calls.all(LOSSES, gone, maxGap);
  // A grant that was gone a moment ago stays lost, even if a late request has made it anew.
  const reasonOf = (reason: StoreLoss | 'held' | Error | undefined): RenewReply =>
    reason === 'held' || reason === undefined ? 'evicted' : reason;
  return replies.map((reply) => reply ?? reasonOf(reasons.shift()));
}

function maxGapFor(requests: readonly RenewRequest[]): number {
  let maxGap = LONGEST_GAP;
  for (const { ttl } of requests) {
    if (ttl > 0) maxGap = Math.min(maxGap, ttl * LONGEST_GAP_RATIO);
  }
  return maxGap;
}
