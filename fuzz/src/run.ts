import { Random } from './random.ts';
import type { Target, TargetKind } from './target.ts';
import { targets } from './targets/index.ts';
import { LONGEST_BLOCK, Watch } from './watch.ts';

/** How many inputs are sent between two looks at the target. */
const BATCH = 25;
/** How often an input must block the event loop in a row. */
const REPEATS = 5;

export interface Report {
  readonly name: string;
  readonly inputs: number;
  readonly seconds: number;
  /** The longest block of the event loop, in ms, that came again each time. */
  readonly block: number;
  /** Empty if all went as promised. */
  readonly problems: readonly string[];
}

/** Sends so many inputs to all targets, or to those of a name. */
export async function run(
  inputs: number,
  seed: number,
  only?: string,
  told: (report: Report) => void = () => {},
): Promise<readonly Report[]> {
  const kinds = targets.filter(({ name }) => only === undefined || name === only);
  const shares = kinds.reduce((sum, { share }) => sum + share, 0);
  const reports: Report[] = [];
  for (const kind of kinds) {
    const own = Math.max(Math.ceil((inputs * kind.share) / shares), 1);
    const report = await attack(kind, own, seed);
    reports.push(report);
    told(report);
  }
  return reports;
}

/** Sends so many inputs to one target. */
export async function attack(kind: TargetKind, inputs: number, seed: number): Promise<Report> {
  const target = await kind.start();
  const watch = new Watch();
  const problems: string[] = [];
  const startedAt = performance.now();
  let longest = 0;
  watch.start();
  try {
    for (let from = 0; from < inputs && problems.length === 0; from += BATCH) {
      const to = Math.min(from + BATCH, inputs);
      await watch.block();
      for (let input = from; input < to; input++) {
        const problem = await target.attack(inputOf(seed, input));
        if (problem !== undefined) problems.push(`input ${input}: ${problem}`);
      }
      const block = await watch.block();
      const { ms, input } =
        block <= LONGEST_BLOCK ? { ms: block } : await again(target, watch, seed, [from, to]);
      longest = Math.max(longest, ms);
      if (ms > LONGEST_BLOCK) {
        problems.push(`input ${input} blocks the event loop for ${ms.toFixed(0)} ms each time`);
      }
      const wrong = await target.check().catch(String);
      if (wrong !== undefined) problems.push(wrong);
      problems.push(...watch.escaped.splice(0).map((error) => `nobody caught ${error}`));
      if (problems.length > 0) problems.push(`while inputs ${from} to ${to - 1} were sent`);
    }
    await target.stop();
    // What comes late shows in a turn or two.
    await new Promise((resolve) => setTimeout(resolve, 20));
    problems.push(...watch.escaped.map((error) => `nobody caught ${error}`));
  } finally {
    watch.stop();
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  return { name: kind.name, inputs, seconds, block: longest, problems };
}

/** Each input has a seed of its own, so that it can be sent again alone. */
function inputOf(seed: number, input: number): Random {
  return new Random(Math.imul(seed, 0x9e3779b1) + input);
}

/**
 * Sends each of some inputs alone, and again as long as the event loop is blocked: a busy machine blocks
 * anything, but not the same input each time.
 */
async function again(
  target: Target,
  watch: Watch,
  seed: number,
  [from, to]: readonly [number, number],
): Promise<{ readonly ms: number; readonly input?: number }> {
  let longest = 0;
  for (let input = from; input < to; input++) {
    let shortest = Infinity;
    for (let go = 0; go < REPEATS && shortest > LONGEST_BLOCK; go++) {
      await watch.block();
      await target.attack(inputOf(seed, input));
      shortest = Math.min(shortest, await watch.block());
    }
    longest = Math.max(longest, shortest);
    if (longest > LONGEST_BLOCK) return { ms: longest, input };
  }
  return { ms: longest };
}
