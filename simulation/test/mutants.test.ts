import { describe, expect, test } from 'vitest';
import { mutants } from '../src/mutants.ts';
import type { Mutant } from '../src/mutation.ts';
import { permitMutants } from '../src/permit-mutants.ts';
import { simulate } from '../src/simulate.ts';
import { Violation, type Invariant } from '../src/violation.ts';
import { firstNoticed } from './noticed.ts';

const SEEDS = 200;
const SEEDS_EACH = 40;

async function noticed({ install, wrap, misbehaving }: Mutant): Promise<Invariant | undefined> {
  const remove = install?.();
  try {
    return await firstNoticed(SEEDS, (seed) => simulate(seed, { wrap, misbehaving }));
  } finally {
    remove?.();
  }
}

/** All that is noticed of a bug. */
async function allNoticed({ install, wrap }: Mutant): Promise<Set<Invariant>> {
  const remove = install?.();
  const all = new Set<Invariant>();
  try {
    for (let seed = 1; seed <= SEEDS_EACH; seed++) {
      try {
        await simulate(seed, { wrap });
      } catch (error) {
        if (!(error instanceof Violation)) throw error;
        all.add(error.invariant);
      }
    }
  } finally {
    remove?.();
  }
  return all;
}

describe('the simulation notices', { timeout: 60_000 }, () => {
  for (const mutant of mutants) {
    test(`notices that ${mutant.name}`, { timeout: 900_000 }, async () => {
      expect(mutant.caughtBy).toContain(await noticed(mutant));
    });
  }

  for (const mutant of permitMutants) {
    test(`notices in one way only that ${mutant.name}`, { timeout: 900_000 }, async () => {
      expect([...(await allNoticed(mutant))]).toEqual(mutant.caughtBy);
    });
  }

  for (const mutant of mutants.filter(({ misbehaving }) => misbehaving)) {
    test(
      `notices only by callbacks that misbehave that ${mutant.name}`,
      { timeout: 900_000 },
      async () => {
        expect(await noticed({ ...mutant, misbehaving: false })).toBeUndefined();
      },
    );
  }

  test('nothing where there is no bug', { timeout: 900_000 }, async () => {
    expect(await noticed({ name: 'none', caughtBy: [] })).toBeUndefined();
  });
});
