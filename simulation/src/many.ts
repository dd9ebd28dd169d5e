import type { Sizes } from './schedule.ts';
import { nameOf, type Seed } from './seed.ts';
import { simulate, type SimulationOptions } from './simulate.ts';
import type { TopologyName } from './stack/topology.ts';
import { Tally } from './tally.ts';

/** What a schedule is run with, beside its seed. */
interface Setting {
  readonly misbehaving?: boolean | undefined;
  readonly sizes?: Sizes | undefined;
  /** Of the whole stack; absent: the engine alone. */
  readonly topology?: TopologyName | undefined;
}

/** The command that runs a schedule again. */
export function againOf(seed: Seed, { misbehaving, sizes = {}, topology }: Setting): string {
  const chosen = Object.entries(sizes).map(([name, count]) => ` --${name} ${count}`);
  const where = topology === undefined ? '' : ` --stack --topology ${topology}`;
  const more = `${misbehaving === true ? ' --misbehaving' : ''}${chosen.join('')}`;
  return `pnpm simulate${where} --seeds 1 --seed ${nameOf(seed)}${more}`;
}

/** Of a schedule that broke a promise: it says how to run it again. */
export function failureOf(seed: Seed, setting: Setting, cause: unknown): Error {
  const again = againOf(seed, setting);
  return new Error(`seed ${nameOf(seed)}: ${String(cause)}\nAgain: ${again}`, { cause });
}

/** As many seeds as are asked for, from the first on; the parts of a schedule are one. */
export function seedsFrom(first: Seed, seeds: number): Seed[] {
  if (typeof first !== 'number') return [first];
  return Array.from({ length: seeds }, (_, index) => first + index);
}

/**
 * Runs seeds of the engine one after the other.
 *
 * @throws Error that says how to run the seed again, with what was violated as its cause
 */
export async function simulateMany(
  first: Seed,
  seeds: number,
  options: Omit<SimulationOptions, 'trace' | 'wrap'> = {},
): Promise<Tally> {
  const tally = new Tally();
  const { misbehaving, ...sizes } = options;
  for (const seed of seedsFrom(first, seeds)) {
    try {
      tally.add(await simulate(seed, options));
    } catch (cause) {
      throw failureOf(seed, { misbehaving, sizes }, cause);
    }
  }
  return tally;
}
