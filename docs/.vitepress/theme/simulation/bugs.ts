import type { Invariant } from '@holdfast/simulation/words';

/** Some of the simulation's mutants: those whose histories are the plainest to read. */
export const BUGS: readonly {
  readonly name: string;
  readonly caughtBy: Invariant;
  readonly what: string;
}[] = [
  {
    name: 'a late release frees the next holder',
    caughtBy: 'belief',
    what: 'The store no longer compares whose lock a release is for. A release that arrives after the lease has ended frees the lock of whoever holds it by then.',
  },
  {
    name: 'the safety margin is ignored',
    caughtBy: 'signal-fired',
    what: 'The signal fires at the end of the lease, where somebody else may hold the lock already, and not a margin before it.',
  },
  {
    name: 'the time that a machine sleeps does not count',
    caughtBy: 'signal-fired',
    what: 'A monotonic clock stands still while its machine sleeps. The engine no longer adds what the boot clock knows of that. Not every seed shows it: let seeds run until one does.',
  },
];
