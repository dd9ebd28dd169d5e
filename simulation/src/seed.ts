import { seededRandom } from '@holdfast/testing';

/** The parts of a schedule that are drawn apart: see `World`; `rest` is all other chance. */
export const PARTS = ['workload', 'network', 'disturbances', 'rest'] as const;
export type Part = (typeof PARTS)[number];

/** A seed for each part, so that another schedule can have the same part. */
export type PartSeeds = Readonly<Record<Part, number>>;

/** What a schedule is repeated from: one number for all that is drawn, or one for each part. */
export type Seed = number | PartSeeds;

/** Seeds that differ by little are to differ in all that is drawn from them, also from part to part. */
const FAR_APART = 0x9e3779b1;

export function randomsOf(seed: Seed): Readonly<Record<Part, () => number>> {
  if (typeof seed === 'number') {
    const random = seededRandom(seed);
    return { workload: random, network: random, disturbances: random, rest: random };
  }
  const [workload, network, disturbances, rest] = PARTS.map((part, index) =>
    seededRandom(Math.imul(seed[part] * PARTS.length + index, FAR_APART)),
  ) as [() => number, () => number, () => number, () => number];
  return { workload, network, disturbances, rest };
}

/** As it is written in commands: `17`, or `17.4.201.9` with a number for each of the parts. */
export function nameOf(seed: Seed): string {
  return typeof seed === 'number' ? String(seed) : PARTS.map((part) => seed[part]).join('.');
}

export function seedOf(name: string): Seed {
  if (!/^\d+(?:\.\d+)*$/.test(name)) {
    throw new Error(`"${name}" is no seed: write a whole number, or one for each part, 1.2.3.4.`);
  }
  const numbers = name.split('.').map(Number);
  const [workload = 0, network, disturbances, rest] = numbers;
  if (network === undefined) return workload;
  if (disturbances === undefined || rest === undefined || numbers.length > PARTS.length) {
    throw new Error(`A schedule has ${PARTS.length} parts: ${PARTS.join(', ')}.`);
  }
  return { workload, network, disturbances, rest };
}
