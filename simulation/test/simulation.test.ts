import { describe, expect, test, vi } from 'vitest';
import { simulateMany } from '../src/many.ts';
import { seedOf } from '../src/seed.ts';
import { simulate } from '../src/simulate.ts';

const SEEDS = 1_000;
const MISBEHAVING_SEEDS = 250;

describe('the engine', () => {
  test(`keeps its promises in ${SEEDS} random schedules`, { timeout: 900_000 }, async () => {
    const tally = await simulateMany(1, SEEDS);
    console.log(`${SEEDS} seeds: ${tally.toString()}`);
    // What never happened was not tested either.
    expect(tally.missing).toEqual([]);
  });

  test('keeps its promises when every callback misbehaves', { timeout: 900_000 }, async () => {
    const quiet = vi.spyOn(process, 'emitWarning').mockReturnValue();
    const tally = await simulateMany(1, MISBEHAVING_SEEDS, { misbehaving: true });
    quiet.mockRestore();
    console.log(`${MISBEHAVING_SEEDS} seeds: ${tally.toString()}`);
    expect(tally.missing).toEqual([]);
  });

  // One in line whose wish the store did not know lost its place, and did not hear of it; a waiter that a lock was
  // passed on to got it once more.
  test.each(['270524.512413.260539.448294', '6561062'])(
    'keeps its promises where it once broke them: %s',
    async (name) => {
      expect((await simulateMany(seedOf(name), 1)).toJSON()['grants']).toBeGreaterThan(0);
    },
  );

  test('does the same again for the same seed', async () => {
    for (const seed of [3, 14, 159]) {
      expect((await simulate(seed)).toString()).toBe((await simulate(seed)).toString());
    }
  });
});
