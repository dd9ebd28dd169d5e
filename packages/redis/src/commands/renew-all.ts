import type { RenewReply, RenewRequest, StoreLoss } from '@holdfast/core';
import type { ScriptCalls } from './script-calls.ts';
import { LOSSES, RENEWALS } from '../scripts/codec.ts';

/** Renews grants, and finds out why those are gone that are. */
export async function renewAll(
  calls: ScriptCalls,
  requests: readonly RenewRequest[],
): Promise<readonly RenewReply[]> {
  const replies = await calls.all(RENEWALS, requests);
  const gone = requests.filter((_, index) => replies[index] === undefined);
  const reasons = gone.length === 0 ? [] : await calls.all(LOSSES, gone);
  // A grant that was gone a moment ago stays lost, even if a late request has made it anew.
  const reasonOf = (reason: StoreLoss | 'held' | Error | undefined): RenewReply =>
    reason === 'held' || reason === undefined ? 'evicted' : reason;
  return replies.map((reply) => reply ?? reasonOf(reasons.shift()));
}
