import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { exhaust } from '../src/stack/exhaustive.ts';
import { rewriterOf, stackMutants, type StackMutant } from '../src/stack/mutants.ts';

/** With their answers eight messages. */
const REQUESTS = 4;

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
});

test.each([Infinity, 200])(
  `keeps its promises with all that can become of the first ${REQUESTS} requests, wait %d`,
  { timeout: 600_000 },
  async (wait) => {
    expect(await exhaust({ requests: REQUESTS, wait })).toBe(6 ** REQUESTS);
  },
);

test(
  'keeps its promises with all that can become of the first requests and a wake-up, the impatient one first',
  { timeout: 600_000 },
  async () => {
    const tried = { requests: REQUESTS - 1, messages: 1, wait: 200, isFirst: true };
    expect(await exhaust(tried)).toBe(6 ** (REQUESTS - 1) * 2);
  },
);

test(
  'notices, by going through all outcomes, that a script grants what another holds',
  { timeout: 600_000 },
  async () => {
    const { rewrite } = rewriterOf(stackMutants[0] as StackMutant);
    await expect(exhaust({ requests: REQUESTS, wait: Infinity }, { rewrite })).rejects.toThrow(
      'belief',
    );
  },
);
