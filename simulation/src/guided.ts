import { observe, withoutDetails } from './coverage.ts';
import { Guide } from './guide.ts';
import { nameOf, type PartSeeds } from './seed.ts';

/** Runs one schedule, and tells what else than its contenders' pairs it met. */
type Run = (seeds: PartSeeds, note: (met: string) => void) => Promise<unknown>;

/** A schedule that broke a promise. */
export class GuidedFailure extends Error {
  constructor(
    readonly seeds: PartSeeds,
    override readonly cause: unknown,
  ) {
    super(`seed ${nameOf(seeds)}: ${String(cause)}`);
  }
}

/**
 * Runs schedules, each chosen by what those before it met.
 *
 * @throws GuidedFailure
 */
export async function guided(schedules: number, guide: Guide, run: Run): Promise<void> {
  let met = new Set<string>();
  const note = (what: string): void => void met.add(what);
  const end = observe(note);
  try {
    for (let count = 0; count < schedules; count++) {
      const seeds = guide.next();
      met = new Set();
      try {
        await run(seeds, note);
      } catch (cause) {
        throw new GuidedFailure(seeds, cause);
      }
      guide.learn(seeds, met);
    }
  } finally {
    end();
  }
}

/** By so many schedules a pair is met more than once by chance. */
const OFTEN = 3;

/**
 * What guided schedules met, beside as many that were drawn anew each.
 *
 * @param possible all that may be met, if only in the end that is known
 */
export async function compareGuided(
  schedules: number,
  seed: number,
  run: Run,
  possible: () => readonly string[],
): Promise<string[]> {
  const [guide, unguided] = [new Guide(seed), new Guide(seed, 1)];
  await guided(schedules, guide, run);
  await guided(schedules, unguided, run);
  const [ours, theirs] = [guide.metBy(1), unguided.metBy(1)];
  const often = [guide, unguided].map((one) => one.metBy(OFTEN).length);
  const met = new Set([...ours, ...theirs].map(withoutDetails));
  return [
    `${schedules} schedules guided by coverage met ${ours.length} different things, as many that were not met ${theirs.length}; ${OFTEN} schedules or more met ${often.join(' and ')} of them.`,
    ...listed('only guided', without(ours, theirs)),
    ...listed('only not guided', without(theirs, ours)),
    ...listed('possible, and never met', without(possible(), [...met])),
  ];
}

function without(all: readonly string[], others: readonly string[]): string[] {
  return all.filter((one) => !others.includes(one)).toSorted();
}

function listed(what: string, all: readonly string[]): string[] {
  return [`${what}: ${all.length}`, ...all.map((one) => `  ${one}`)];
}
