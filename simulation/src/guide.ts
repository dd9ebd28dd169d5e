import { seededRandom } from '@holdfast/testing';
import { Dice } from './dice.ts';
import { PARTS, type PartSeeds } from './seed.ts';

/** How probably a schedule is new in all of its parts, where it is guided. */
const FRESH = 0.1;
/** Of so many pairs, the one that the fewest have met is gone after. */
const CANDIDATES = 20;
const LARGEST_SEED = 999_999;

/** A pair of where something was and what happened to it. */
interface Met {
  times: number;
  /** The schedule that met it first. */
  readonly first: PartSeeds;
}

/**
 * Chooses schedules by what those before them met: mostly it takes one that met what few others have,
 * and draws one of its parts anew, or takes that from another such one. The same for the same seed.
 */
export class Guide {
  private readonly met = new Map<string, Met>();
  /** The schedules that met what none before them had. */
  private readonly finders: PartSeeds[] = [];
  private readonly dice: Dice;

  /** @param fresh how probably all is drawn anew; 1 is no guidance */
  constructor(
    seed: number,
    private readonly fresh = FRESH,
  ) {
    this.dice = new Dice(seededRandom(seed));
  }

  next(): PartSeeds {
    const { dice, finders } = this;
    if (finders.length === 0 || dice.chance(this.fresh)) {
      const [workload, network] = [this.number(), this.number()];
      return { workload, network, disturbances: this.number(), rest: this.number() };
    }
    const part = dice.pick(PARTS);
    const seed = dice.chance(0.5) ? this.number() : dice.pick(finders)[part];
    return { ...this.rarest().first, [part]: seed };
  }

  /** What a schedule met. */
  learn(seeds: PartSeeds, pairs: Iterable<string>): void {
    let isFinder = false;
    for (const pair of pairs) {
      const met = this.met.get(pair);
      if (met === undefined) this.met.set(pair, { times: 1, first: seeds });
      else met.times += 1;
      isFinder ||= met === undefined;
    }
    if (isFinder) this.finders.push(seeds);
  }

  /** The pairs that so many schedules have met, or more. */
  metBy(schedules: number): string[] {
    return [...this.met].filter(([, { times }]) => times >= schedules).map(([pair]) => pair);
  }

  private rarest(): Met {
    const all = [...this.met.values()];
    const candidates = Array.from({ length: CANDIDATES }, () => this.dice.pick(all));
    return candidates.reduce((best, one) => (one.times < best.times ? one : best));
  }

  private number(): number {
    return this.dice.between(0, LARGEST_SEED);
  }
}
