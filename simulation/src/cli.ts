// `pnpm simulate --seeds N --from S [--misbehaving]`: runs N seeds, from S on.
import { parseArgs } from 'node:util';
import { simulate } from './simulate.ts';
import { Tally } from './tally.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    misbehaving: { type: 'boolean', default: false },
  },
});
const seeds = Number(values.seeds);
const from = Number(values.from);
const { misbehaving } = values;

const tally = new Tally();
const startedAt = performance.now();
for (let seed = from; seed < from + seeds; seed++) {
  try {
    tally.add(await simulate(seed, { misbehaving }));
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
