import { failureOf, seedsFrom } from '../many.ts';
import type { Seed } from '../seed.ts';
import { simulateStack, type StackOptions } from './simulate.ts';
import { StackTally } from './tally.ts';
import type { TopologyName } from './topology.ts';

/** What must have happened in some thousand schedules, or they have shown nothing. */
export const STACK_DEEDS: readonly string[] = [
  ['permits', 'conflicts', 'terms', 'deeds of leaders'],
  ['operations', 'grants', 'hand-offs', 'take-overs', 'aborts', 'refusals', 'extensions'],
  ['lost expired', 'lost stolen', 'lost evicted', 'lost superseded', 'lost forced', 'lost closed'],
  ['lost max-hold', 'fault cut-before', 'fault cut-after', 'fault cut-late', 'fault half-open'],
  ['fault late-request', 'fault late-reply', 'fault pause', 'fault suspend', 'fault crash'],
  ['fault step', 'fault close', 'fault force', 'fault silence', 'fault freeze', 'fault full'],
  ['fault stall', 'fault restart', 'fault lose-data', 'fault flush-scripts', 'fault delete'],
  ['fault clock', 'fault failover', 'fault slot-move'],
].flat();

/**
 * Runs seeds one after the other, each on the next of the topologies, so that the same seed always runs on
 * the same one.
 *
 * @throws Error that says how to run the seed again, with what was violated as its cause
 */
export async function simulateStacks(
  topologies: readonly TopologyName[],
  first: Seed,
  seeds: number,
  options: StackOptions = {},
): Promise<StackTally> {
  const tally = new StackTally();
  for (const seed of seedsFrom(first, seeds)) {
    const turn = typeof seed === 'number' ? seed : 0;
    const topology = topologies[turn % topologies.length] as TopologyName;
    try {
      tally.add(await simulateStack(seed, topology, options));
    } catch (cause) {
      throw failureOf(seed, { topology, misbehaving: options.misbehaving }, cause);
    }
  }
  return tally;
}
