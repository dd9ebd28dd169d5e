import { describe, expect, test } from 'vitest';
import { mutants, type Mutant } from '../src/mutants.ts';
import { simulate } from '../src/simulate.ts';
import { Violation, type Invariant } from '../src/violation.ts';

const SEEDS = 200;

/** What the first seed that notices the bug says of it. */
async function noticed({ install, wrap, misbehaving }: Mutant): Promise<Invariant | undefined> {
  const remove = install?.();
  try {
    for (let seed = 1; seed <= SEEDS; seed++) await simulate(seed, { wrap, misbehaving });
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.invariant;
    throw error;
  } finally {
    remove?.();
  }
}

describe('the simulation notices', { timeout: 60_000 }, () => {
  for (const mutant of mutants) {
    test(`notices that ${mutant.name}`, { timeout: 300_000 }, async () => {
      expect(mutant.caughtBy).toContain(await noticed(mutant));
    });
  }

  for (const mutant of mutants.filter(({ misbehaving }) => misbehaving)) {
    test(
      `notices only by callbacks that misbehave that ${mutant.name}`,
      { timeout: 300_000 },
      async () => {
        expect(await noticed({ ...mutant, misbehaving: false })).toBeUndefined();
      },
    );
  }

  test('nothing where there is no bug', { timeout: 300_000 }, async () => {
    expect(await noticed({ name: 'none', caughtBy: [] })).toBeUndefined();
  });
});
