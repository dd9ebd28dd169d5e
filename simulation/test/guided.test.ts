import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runBatches } from '../src/batches.ts';
import { possiblePairs, withoutDetails } from '../src/coverage.ts';
import { Guide } from '../src/guide.ts';
import { guided, GuidedFailure } from '../src/guided.ts';
import { simulateMany } from '../src/many.ts';
import { nameOf, seedOf, type PartSeeds } from '../src/seed.ts';
import { simulate } from '../src/simulate.ts';
import { Branches } from '../src/stack/branches.ts';
import { simulateStack } from '../src/stack/simulate.ts';

/** What a guide has met that is told what schedules meet by their seeds alone. */
function metOf(guide: Guide, schedules: number, pairsOf: (seeds: PartSeeds) => string[]): number {
  for (let count = 0; count < schedules; count++) {
    const seeds = guide.next();
    guide.learn(seeds, pairsOf(seeds));
  }
  return guide.metBy(1).length;
}

describe('a guide', () => {
  // To meet the deepest of them, four parts of one schedule have to fit.
  const pairsOf = ({ workload, network, disturbances, rest }: PartSeeds): string[] => {
    const fits = [workload, network, disturbances, rest].map((seed) => seed % 10 === 0);
    const misfit = fits.indexOf(false);
    return Array.from({ length: misfit < 0 ? 5 : misfit + 1 }, (_, depth) => `depth ${depth}`);
  };

  test.each([1, 2, 3, 4])('meets what chance does not, by parts that are kept: seed %i', (seed) => {
    expect(metOf(new Guide(seed), 1_000, pairsOf)).toBe(5);
    expect(metOf(new Guide(seed, 1), 1_000, pairsOf)).toBeLessThan(5);
  });

  test('chooses the same for the same seed', () => {
    const chosen = (seed: number): string[] => {
      const guide = new Guide(seed);
      return Array.from({ length: 50 }, () => {
        const seeds = guide.next();
        guide.learn(seeds, pairsOf(seeds));
        return nameOf(seeds);
      });
    };
    expect(chosen(7)).toEqual(chosen(7));
    expect(chosen(7)).not.toEqual(chosen(8));
  });
});

describe('a schedule of parts', () => {
  test('has a name that repeats it', async () => {
    const seeds = { workload: 17, network: 4, disturbances: 201, rest: 9 };
    expect(nameOf(seeds)).toBe('17.4.201.9');
    expect(seedOf('17.4.201.9')).toEqual(seeds);
    expect(seedOf('17')).toBe(17);
    expect((await simulate(seeds)).toString()).toBe((await simulate(seeds)).toString());
  });

  test.each(['', 'one', '1.2', '1.2.3', '1.2.3.4.5', '1.5e-3', '-1'])('is not "%s"', (name) => {
    expect(() => seedOf(name)).toThrow(/is no seed|has 4 parts/);
  });

  test('has the same calls where only the network is another', async () => {
    const callsOf = async (network: number): Promise<unknown> => {
      const seeds = { workload: 3, network, disturbances: 5, rest: 6 };
      return (await simulate(seeds)).toJSON()['operations'];
    };
    expect(await callsOf(1)).toBe(await callsOf(2));
  });
});

describe('guided schedules', { timeout: 300_000 }, () => {
  beforeAll(() => {
    vi.spyOn(process, 'emitWarning').mockReturnValue();
  });
  afterAll(() => {
    vi.restoreAllMocks();
  });

  test('meet most of what can happen to a contender, and nothing that cannot', async () => {
    const guide = new Guide(1);
    await guided(60, guide, (seeds) => simulate(seeds));
    const met = new Set(guide.metBy(1).map(withoutDetails));
    const possible = possiblePairs(false);
    expect([...met].filter((pair) => !possible.includes(pair))).toEqual([]);
    expect(met.size / possible.length).toBeGreaterThan(0.5);
  });

  test('know the branches of the scripts, and which are taken', async () => {
    const guide = new Guide(1);
    let note: ((what: string) => void) | undefined;
    const branches = new Branches((branch) => note?.(branch));
    await guided(12, guide, (seeds, met) => {
      note = met;
      return simulateStack(seeds, 'single', { branches });
    });
    const met = guide.metBy(1).filter((one) => one.startsWith('script: '));
    expect(branches.all).toContain("script: if held.kind == 'free' then");
    expect(met.filter((one) => !branches.all.includes(one))).toEqual([]);
    expect(met.length / branches.all.length).toBeGreaterThan(0.5);
  });

  test('do the same with their branches noted', async () => {
    const seeds = { workload: 1, network: 2, disturbances: 3, rest: 4 };
    const noted = await simulateStack(seeds, 'cluster', { branches: new Branches(() => {}) });
    expect(noted.toString()).toBe((await simulateStack(seeds, 'cluster')).toString());
  });

  test('tell which of them broke a promise', async () => {
    const failing = guided(1, new Guide(5), () => Promise.reject(new Error('broken')));
    const error = await failing.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GuidedFailure);
    expect((error as GuidedFailure).message).toBe(
      `seed ${nameOf((error as GuidedFailure).seeds)}: Error: broken`,
    );
  });
});

test('seeds in several processes come out as in one', { timeout: 300_000 }, async () => {
  const batch = { misbehaving: false, sizes: { processes: 2, keys: 1 }, topologies: undefined };
  const inBatches = await runBatches({ first: 11, seeds: 5, ...batch }, 2);
  expect(inBatches.toString()).toBe((await simulateMany(11, 5, batch.sizes)).toString());
});
