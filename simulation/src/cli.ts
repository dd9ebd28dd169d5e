// `pnpm simulate`: see the README.
import { parseArgs } from 'node:util';
import { record } from './history.ts';
import { simulate } from './simulate.ts';
import { STACK_DEEDS, simulateStacks } from './stack/many.ts';
import { TOPOLOGIES, type TopologyName } from './stack/topology.ts';
import { Tally } from './tally.ts';
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
    trace: { type: 'boolean', default: false },
  },
});
const seeds = Number(values.seeds);
const from = Number(values.seed ?? values.from);
const { misbehaving, bug } = values;
const sizes = {
  ...(values.processes === undefined ? {} : { processes: Number(values.processes) }),
  ...(values.keys === undefined ? {} : { keys: Number(values.keys) }),
};
const startedAt = performance.now();

function summarize(tally: string, missing: readonly string[]): void {
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`${seeds} seeds in ${seconds.toFixed(1)} s. ${tally}`);
  if (missing.length > 0) console.log(`never happened: ${missing.join(', ')}`);
}

function topologies(): readonly TopologyName[] {
  const { topology } = values;
  if (topology === undefined) return TOPOLOGIES;
  const known = TOPOLOGIES.filter((name) => name === topology);
  if (known.length === 0) throw new Error(`--topology is one of ${TOPOLOGIES.join(', ')}.`);
  return known;
}

async function runStacks(): Promise<void> {
  const trace = values.trace ? (line: string): void => console.log(line) : undefined;
  const tally = await simulateStacks(topologies(), from, seeds, { misbehaving, trace });
  summarize(tally.toString(), values.topology === undefined ? tally.missing(STACK_DEEDS) : []);
}

/** Tells what happens in one seed of the engine. */
async function tell(): Promise<void> {
  const { events, fingerprint, violation } = await record(from, { bug, ...sizes });
  for (const line of linesOf(events)) console.log(line);
  console.log(`seed ${from}: ${events.length} events, fingerprint ${fingerprint}`);
  if (violation !== undefined) process.exitCode = 1;
}

async function runEngine(): Promise<void> {
  const tally = new Tally();
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      tally.add(await simulate(seed, { misbehaving, ...sizes }));
    } catch (error) {
      console.error(`seed ${seed}: ${String(error)}`);
      const chosen = Object.entries(sizes).map(([name, count]) => ` --${name} ${count}`);
      console.error(
        `Again: pnpm simulate --seeds 1 --from ${seed}${misbehaving ? ' --misbehaving' : ''}${chosen.join('')}`,
      );
      throw error;
    }
  }
  summarize(tally.toString(), tally.missing);
}

if (bug !== undefined && (values.stack || !values.trace)) {
  throw new Error('--bug is for --trace of the engine.');
}
await (values.stack ? runStacks() : values.trace ? tell() : runEngine());
