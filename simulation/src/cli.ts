// `pnpm simulate`: see the README.
import { parseArgs } from 'node:util';
import { possiblePairs } from './coverage.ts';
import { compareGuided, GuidedFailure } from './guided.ts';
import { record } from './history.ts';
import { nameOf, seedOf, type Seed } from './seed.ts';
import { simulate } from './simulate.ts';
import { runBatches } from './batches.ts';
import { againOf } from './many.ts';
import { Branches } from './stack/branches.ts';
import { STACK_DEEDS, simulateStacks } from './stack/many.ts';
import { simulateStack } from './stack/simulate.ts';
import { StackTally } from './stack/tally.ts';
import { TOPOLOGIES, type TopologyName } from './stack/topology.ts';
import { linesOf } from './words.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    // The same, as it is mostly called.
    seed: { type: 'string' },
    misbehaving: { type: 'boolean', default: false },
    processes: { type: 'string' },
    keys: { type: 'string' },
    bug: { type: 'string' },
    stack: { type: 'boolean', default: false },
    topology: { type: 'string' },
    guided: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
});
const first = seedOf(values.seed ?? values.from);
// A schedule of parts has no next one.
const seeds = typeof first === 'number' ? Number(values.seeds) : 1;
const { misbehaving, bug } = values;
const sizes = {
  ...(values.processes === undefined ? {} : { processes: Number(values.processes) }),
  ...(values.keys === undefined ? {} : { keys: Number(values.keys) }),
};
const topologies = values.stack ? topologiesOf(values.topology) : undefined;

function topologiesOf(topology: string | undefined): readonly TopologyName[] {
  if (topology === undefined) return TOPOLOGIES;
  const known = TOPOLOGIES.filter((name) => name === topology);
  if (known.length === 0) throw new Error(`--topology is one of ${TOPOLOGIES.join(', ')}.`);
  return known;
}

/** Tells what happens in one seed of the engine. */
async function tell(): Promise<void> {
  const { events, fingerprint, violation } = await record(first, { bug, ...sizes });
  for (const line of linesOf(events)) console.log(line);
  console.log(`seed ${nameOf(first)}: ${events.length} events, fingerprint ${fingerprint}`);
  if (violation !== undefined) process.exitCode = 1;
}

/** The same of the whole stack. */
async function tellStack(all: readonly TopologyName[]): Promise<void> {
  const trace = (line: string): void => console.log(line);
  await simulateStacks(all, first, seeds, { misbehaving, trace });
}

async function runAll(): Promise<void> {
  const startedAt = performance.now();
  const tally = await runBatches({ first, seeds, misbehaving, sizes, topologies });
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`${seeds} seeds in ${seconds.toFixed(1)} s. ${tally.toString()}`);
  const missing =
    tally instanceof StackTally
      ? tally.missing(values.topology === undefined ? STACK_DEEDS : [])
      : tally.missing;
  if (missing.length > 0) console.log(`never happened: ${missing.join(', ')}`);
}

/** Schedules guided by coverage, and as many that are not, on each topology. */
async function runGuided(seed: number): Promise<void> {
  for (const topology of topologies ?? [undefined]) {
    let note: ((what: string) => void) | undefined;
    const branches = new Branches((branch) => note?.(branch));
    const run = async (one: Seed, met: (what: string) => void): Promise<void> => {
      note = met;
      if (topology === undefined) await simulate(one, { misbehaving, ...sizes });
      else await simulateStack(one, topology, { misbehaving, branches });
    };
    const possible = (): string[] => [...possiblePairs(topology !== undefined), ...branches.all];
    try {
      if (topology !== undefined) console.log(`${topology}:`);
      for (const line of await compareGuided(seeds, seed, run, possible)) console.log(line);
    } catch (error) {
      if (!(error instanceof GuidedFailure)) throw error;
      console.error(`Again: ${againOf(error.seeds, { misbehaving, sizes, topology })}`);
      throw error;
    }
  }
}

if (bug !== undefined && (values.stack || !values.trace)) {
  throw new Error('--bug is for --trace of the engine.');
}
if (values.guided) await runGuided(Number(first));
else if (!values.trace) await runAll();
else await (topologies === undefined ? tell() : tellStack(topologies));
