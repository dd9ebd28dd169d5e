import { describe, expect, test, vi } from 'vitest';
import { simulate } from '../src/simulate.ts';
import { Tally } from '../src/tally.ts';

const SEEDS = 2_000;
const MISBEHAVING_SEEDS = 500;

describe('the engine', () => {
  test(`keeps its promises in ${SEEDS} random schedules`, { timeout: 900_000 }, async () => {
    const tally = new Tally();
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        tally.add(await simulate(seed));
      } catch (error) {
        throw new Error(`Again: pnpm simulate --seeds 1 --from ${seed}`, { cause: error });
      }
    }
    console.log(`${SEEDS} seeds: ${tally.toString()}`);
    // What never happened was not tested either.
    expect(tally.missing).toEqual([]);
  });

  test('keeps its promises when every callback misbehaves', { timeout: 900_000 }, async () => {
    const tally = new Tally();
    const quiet = vi.spyOn(process, 'emitWarning').mockReturnValue();
    for (let seed = 1; seed <= MISBEHAVING_SEEDS; seed++) {
      try {
        tally.add(await simulate(seed, { misbehaving: true }));
      } catch (error) {
        const again = `Again: pnpm simulate --seeds 1 --from ${seed} --misbehaving`;
        throw new Error(again, { cause: error });
      }
    }
    quiet.mockRestore();
    console.log(`${MISBEHAVING_SEEDS} seeds: ${tally.toString()}`);
    expect(tally.missing).toEqual([]);
  });

  test('does the same again for the same seed', async () => {
    for (const seed of [3, 14, 159]) {
      expect((await simulate(seed)).toString()).toBe((await simulate(seed)).toString());
    }
  });
});
