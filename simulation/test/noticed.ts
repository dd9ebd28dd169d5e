import { Violation, type Invariant } from '../src/violation.ts';

/** What the first of so many seeds that notices a bug says of it. */
export async function firstNoticed(
  seeds: number,
  simulate: (seed: number) => Promise<unknown>,
): Promise<Invariant | undefined> {
  try {
    for (let seed = 1; seed <= seeds; seed++) await simulate(seed);
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.invariant;
    throw error;
  }
}
