import { elect, type Candidate, type Locker } from '@holdfast/core';
import type { Machine } from './machine.ts';
import { LEADER } from './schedule.ts';
import type { Tally } from './tally.ts';
import { violated, Violation } from './violation.ts';
import type { World } from './world.ts';

/** What all leaders of a simulation write to: none acts beside its successor. */
export class Deeds {
  private last = 0;

  constructor(
    private readonly world: World,
    private readonly tally: Tally,
    /** Whether the leader of a term may have a successor, with no fault of the locks. */
    private readonly isExcused: (term: number) => boolean,
  ) {}

  /** A leader has looked whether it leads, and acts. */
  add(term: number): void {
    this.tally.count('deeds of leaders');
    // It may have been replaced without its fault, and so may be those after it.
    if (this.isExcused(term)) return;
    if (term < this.last) {
      const details = `the leader of term ${term} acts after one of term ${this.last}`;
      this.world.fail(new Violation('leadership', details));
    }
    this.last = Math.max(this.last, term);
  }
}

/** Where a candidate runs. */
export interface Office {
  readonly world: World;
  readonly machine: Machine;
  readonly tally: Tally;
  readonly deeds: Deeds;
}

/** Campaigns for so many ms. While it leads it acts now and then; now and then its work ends. */
export async function campaign(
  locker: Locker,
  { world, machine, tally, deeds }: Office,
  ms: number,
): Promise<void> {
  const act = (): void => {
    if (candidate.isLeader) deeds.add(candidate.term);
  };
  const candidate: Candidate = elect(locker, LEADER, {
    onElected: async (_, signal) => {
      tally.count('terms');
      const ends = machine.now() + (world.chance(0.5) ? Infinity : world.between(100, 2_000));
      while (!signal.aborted && machine.now() < ends) {
        act();
        await machine.sleep(world.between(5, 150));
      }
      // Work of its own, which does not look at the signal.
      act();
    },
  });
  await machine.sleep(ms / 2);
  if (world.chance(0.5)) await candidate.resign();
  await machine.sleep(ms / 2);
  await candidate.close();
  if (candidate.isLeader) violated('leadership', 'a candidate that is closed leads');
}
