import type { RenewReply, RenewRequest, StoreLoss } from '@holdfast/core';
import { LOSSES } from '../scripts/loss.ts';
import { PERMIT_RENEWALS } from '../scripts/permits/renew.ts';
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
  const replies = await bothKinds(
    requests,
    (alone) => calls.all(renewals, alone, maxGap),
    (permits) => calls.all(PERMIT_RENEWALS, permits, maxGap),
  );
  const gone = requests.filter((_, index) => replies[index] === undefined);
  const reasons = gone.length === 0 ? [] : await calls.all(LOSSES, gone, maxGap);
  // A grant that was gone a moment ago stays lost, even if a late request has made it anew.
  const reasonOf = (reason: StoreLoss | 'held' | Error | undefined): RenewReply =>
    reason === 'held' || reason === undefined ? 'evicted' : reason;
  return replies.map((reply) => reply ?? reasonOf(reasons.shift()));
}

/** Renews grants and permits at once, each in their own way; the answers are in the order of the requests. */
async function bothKinds<R>(
  requests: readonly RenewRequest[],
  renewAlone: (requests: readonly RenewRequest[]) => Promise<readonly R[]>,
  renewPermits: (requests: readonly RenewRequest[]) => Promise<readonly R[]>,
): Promise<readonly R[]> {
  const permits = requests.filter(({ permit }) => permit === true);
  if (permits.length === 0) return renewAlone(requests);
  if (permits.length === requests.length) return renewPermits(requests);
  const alone = requests.filter(({ permit }) => permit !== true);
  const [ofAlone, ofPermits] = await Promise.all([renewAlone(alone), renewPermits(permits)]);
  const [nextAlone, nextPermit] = [ofAlone.values(), ofPermits.values()];
  return requests.map(({ permit }) => (permit === true ? nextPermit : nextAlone).next().value as R);
}

function maxGapFor(requests: readonly RenewRequest[]): number {
  let maxGap = LONGEST_GAP;
  for (const { ttl } of requests) {
    if (ttl > 0) maxGap = Math.min(maxGap, ttl * LONGEST_GAP_RATIO);
  }
  return maxGap;
}
