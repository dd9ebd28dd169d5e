import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { rewriterOf, stackMutants, type StackMutant } from '../src/stack/mutants.ts';
import { stackPermitMutants } from '../src/stack/permit-mutants.ts';
import { simulateStack } from '../src/stack/simulate.ts';
import type { Invariant } from '../src/violation.ts';
import { firstNoticed } from './noticed.ts';

const SEEDS = 400;

async function noticed(mutant: StackMutant): Promise<Invariant | undefined> {
  const { rewrite, unused } = rewriterOf(mutant);
  const remove = mutant.install?.();
  try {
    return await firstNoticed(SEEDS, (seed) =>
      simulateStack(seed, mutant.topology, { rewrite, blind: mutant.blind }),
    );
  } finally {
    remove?.();
    expect(unused()).toEqual([]);
  }
}

describe('the simulation of the whole stack', { timeout: 300_000 }, () => {
  beforeAll(() => {
    vi.spyOn(process, 'emitWarning').mockReturnValue();
  });
  afterAll(() => {
    vi.restoreAllMocks();
  });

  for (const mutant of [...stackMutants, ...stackPermitMutants]) {
    test(`notices that ${mutant.name} (${mutant.topology})`, async () => {
      expect(mutant.caughtBy).toContain(await noticed(mutant));
    });
  }
});
