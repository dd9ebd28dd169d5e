import type { StoredGrant } from '@holdfast/core';
import { majorityOf, valuesOf, type Vote } from './majority.ts';
import type { NodeHolder } from './node.ts';

/**
 * Who holds a key, `null` if nobody does, as soon as no other answer can change it. Where the servers
 * that failed could decide it, the one who would have a majority with them is said to hold it.
 */
export function holderOf(
  votes: readonly Vote<NodeHolder | null>[],
): StoredGrant | null | undefined {
  const majority = majorityOf(votes.length);
  const answers = valuesOf(votes);
  const open = votes.filter((vote) => vote === undefined).length;
  const groups = new Map<string, NodeHolder[]>();
  for (const grant of answers) {
    if (grant === null) continue;
    groups.set(grant.owner, [...(groups.get(grant.owner) ?? []), grant]);
  }
  const grants = [...groups.values()].toSorted((a, b) => b.length - a.length)[0] ?? [];
  const unknown = votes.length - answers.length;
  if (grants.length < majority && open > 0) {
    return answers.filter((grant) => grant === null).length > votes.length - majority
      ? null
      : undefined;
  }
  const [grant] = grants;
  if (grant === undefined || grants.length + unknown < majority) return null;
  return { owner: grant.owner, label: grant.label, fencingToken: 0, ...endOf(grants, majority) };
}

/** A majority is needed: it is over when the last one that is needed for it ends. */
function endOf(grants: readonly NodeHolder[], majority: number): Pick<StoredGrant, 'remaining'> {
  const ends = grants.map(({ remaining }) => remaining ?? Infinity).toSorted((a, b) => b - a);
  const end = ends[Math.min(majority, ends.length) - 1] ?? Infinity;
  return end === Infinity ? {} : { remaining: end };
}
