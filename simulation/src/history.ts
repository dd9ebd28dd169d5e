import { mutants } from './mutants.ts';
import { permitMutants } from './permit-mutants.ts';
import type { Sizes } from './schedule.ts';
import type { Seed } from './seed.ts';
import { simulate } from './simulate.ts';
import { Trace, type TraceEvent } from './trace.ts';
import { Violation, type Invariant } from './violation.ts';
import { fingerprint } from './words.ts';

/** What a recorded run is made from, beside its seed. */
export interface HistoryOptions extends Sizes {
  /** The name of one of the {@link mutants}, or of {@link permitMutants}. @default none */
  readonly bug?: string | undefined;
}

/** One seed, and all that happened. */
export interface History<S extends Seed = number> {
  readonly seed: S;
  readonly events: readonly TraceEvent[];
  readonly violation: { readonly invariant: Invariant; readonly message: string } | undefined;
  readonly fingerprint: string;
}

/**
 * Runs one seed and writes down what happens, up to the first violation.
 *
 * @example
 * ```ts
 * const { events, violation } = await record(1, { bug: 'the safety margin is ignored' });
 * ```
 */
export async function record<S extends Seed>(
  seed: S,
  { bug, processes, keys }: HistoryOptions = {},
): Promise<History<S>> {
  const mutant = [...mutants, ...permitMutants].find(({ name }) => name === bug);
  if (bug !== undefined && mutant === undefined) throw new RangeError(`There is no bug "${bug}".`);
  const trace = new Trace();
  const remove = mutant?.install?.();
  const { wrap, misbehaving } = mutant ?? {};
  let violation: History['violation'];
  try {
    await simulate(seed, { wrap, misbehaving, processes, keys, trace });
  } catch (error) {
    const invariant = error instanceof Violation ? error.invariant : 'errors';
    violation = { invariant, message: error instanceof Error ? error.message : String(error) };
    trace.violation(invariant, violation.message);
  } finally {
    remove?.();
  }
  const { events } = trace;
  return { seed, events, violation, fingerprint: fingerprint(events) };
}
