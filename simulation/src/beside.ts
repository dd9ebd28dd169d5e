import type { Lease } from '../../packages/core/src/hold/lease.ts';
import { violated } from './violation.ts';

/** Whether a key may be held beside those who hold it. */
export function checkBeside(key: string, lease: Lease, others: readonly Lease[]): void {
  const tokens = (): string => [...others, lease].map(({ token }) => token).join(', ');
  const { sharing } = lease.settings;
  let weight = sharing?.weight ?? 1;
  for (const other of others) {
    const its = other.settings.sharing;
    if (sharing === undefined && its === undefined) {
      violated('exclusion', `${key} is held with the tokens ${tokens()}`);
    }
    if (sharing?.shared === true && its?.shared === true) continue;
    if (sharing?.shared === true || its?.shared === true) {
      violated('readers', `${key}: a writer is not alone, ${tokens()}`);
    }
    if (sharing === undefined || its?.limit !== sharing.limit) {
      violated('weight', `${key} is held with different limits, ${tokens()}`);
    }
    weight += its.weight;
    if (weight > sharing.limit) violated('weight', `${key}: ${weight} of ${sharing.limit}`);
  }
}
