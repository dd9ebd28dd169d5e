import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { simulateStacks, STACK_DEEDS } from '../src/stack/many.ts';
import { simulateStack } from '../src/stack/simulate.ts';
import { TOPOLOGIES } from '../src/stack/topology.ts';

const SEEDS = 3_000;
const MISBEHAVING_SEEDS = 250;

describe('the whole stack', { timeout: 900_000 }, () => {
  // Connections are lost here all the time, and stores warn of it.
  beforeAll(() => {
    vi.spyOn(process, 'emitWarning').mockReturnValue();
  });
  afterAll(() => {
    vi.restoreAllMocks();
  });

  test(`keeps its promises in ${SEEDS} random schedules`, async () => {
    const tally = await simulateStacks(TOPOLOGIES, 1, SEEDS);
    console.log(`${SEEDS} seeds: ${tally.toString()}`);
    // What never happened was not tested either.
    expect(tally.missing(STACK_DEEDS)).toEqual([]);
  });

  test('keeps its promises when every callback misbehaves', async () => {
    const tally = await simulateStacks(TOPOLOGIES, 1, MISBEHAVING_SEEDS, { misbehaving: true });
    expect(tally.missing(['misdeeds'])).toEqual([]);
  });

  test.each(TOPOLOGIES)('does the same again for the same seed: %s', async (topology) => {
    const run = async (): Promise<string[]> => {
      const lines: string[] = [];
      await simulateStack(3, topology, { trace: (line) => lines.push(line) });
      return lines;
    };
    expect(await run()).toEqual(await run());
  });
});
