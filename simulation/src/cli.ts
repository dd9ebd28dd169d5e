// `pnpm simulate --seeds N --from S [--misbehaving]`: runs N seeds, from S on.
// `pnpm simulate --trace --from S [--bug NAME]`: tells what happens in one.
import { parseArgs } from 'node:util';
import { record } from './history.ts';
import { simulate } from './simulate.ts';
import { Tally } from './tally.ts';
import { linesOf } from './words.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    misbehaving: { type: 'boolean', default: false },
    processes: { type: 'string' },
    keys: { type: 'string' },
    trace: { type: 'boolean', default: false },
    bug: { type: 'string' },
  },
});
const seeds = Number(values.seeds);
const from = Number(values.from);
const { misbehaving, bug } = values;
const sizes = {
  ...(values.processes === undefined ? {} : { processes: Number(values.processes) }),
  ...(values.keys === undefined ? {} : { keys: Number(values.keys) }),
};

if (values.trace) {
  const { events, fingerprint, violation } = await record(from, { bug, ...sizes });
  for (const line of linesOf(events)) console.log(line);
  console.log(`seed ${from}: ${events.length} events, fingerprint ${fingerprint}`);
  process.exit(violation === undefined ? 0 : 1);
}
if (bug !== undefined) throw new Error('--bug is for --trace');

const tally = new Tally();
const startedAt = performance.now();
for (let seed = from; seed < from + seeds; seed++) {
  try {
    tally.add(await simulate(seed, { misbehaving, ...sizes }));
  } catch (error) {
    console.error(`seed ${seed}: ${String(error)}`);
    console.error(
      `Again: pnpm simulate --seeds 1 --from ${seed}${misbehaving ? ' --misbehaving' : ''}`,
    );
    throw error;
  }
}
const seconds = (performance.now() - startedAt) / 1_000;
console.log(`${seeds} seeds in ${seconds.toFixed(1)} s. ${tally.toString()}`);
if (tally.missing.length > 0) console.log(`never happened: ${tally.missing.join(', ')}`);
