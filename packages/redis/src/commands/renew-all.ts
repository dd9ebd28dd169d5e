import type { RenewReply, RenewRequest, StoreLoss } from '@holdfast/core';
import { LOSSES } from '../scripts/loss.ts';
import type { ManyCall } from '../scripts/script.ts';
import type { ScriptCalls } from './script-calls.ts';

/** How long servers are waited for when others have answered, in ms, and as a part of the shortest ttl. */
export const GROUP_PATIENCE = 250;
const GROUP_PATIENCE_RATIO = 0.2;

/** Renews grants, and finds out why those are gone that are. */
export async function renewAll(
  calls: ScriptCalls,
  renewals: ManyCall<RenewRequest, RenewReply | undefined>,
  requests: readonly RenewRequest[],
): Promise<readonly RenewReply[]> {
  const patience = patienceFor(requests);
  const replies = await calls.all(renewals, requests, patience);
  const gone = requests.filter((_, index) => replies[index] === undefined);
  const reasons = gone.length === 0 ? [] : await calls.all(LOSSES, gone, patience);
  // A grant that was gone a moment ago stays lost, even if a late request has made it anew.
  const reasonOf = (reason: StoreLoss | 'held' | Error | undefined): RenewReply =>
    reason === 'held' || reason === undefined ? 'evicted' : reason;
  return replies.map((reply) => reply ?? reasonOf(reasons.shift()));
}

function patienceFor(requests: readonly RenewRequest[]): number {
  let patience = GROUP_PATIENCE;
  for (const { ttl } of requests) {
    if (ttl > 0) patience = Math.min(patience, ttl * GROUP_PATIENCE_RATIO);
  }
  return patience;
}
