// `pnpm fuzz --inputs N --seed S [--only name]`: sends hostile input to all that hears from outside.
import { parseArgs } from 'node:util';
import { run, type Report } from './run.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
const inputs = Number(values.inputs);
const seed = Number(values.seed);
if (!(Number.isInteger(inputs) && inputs > 0 && Number.isInteger(seed))) {
  console.error('--inputs takes a whole number above 0, and --seed a whole number.');
  process.exit(2);
}

function tell({ name, inputs: sent, seconds, block, problems }: Report): void {
  const mark = problems.length === 0 ? '✔' : '✘';
  const figures = `${sent} inputs in ${seconds.toFixed(1)} s, longest block ${block.toFixed(0)} ms`;
  console.log(`${mark} ${name.padEnd(18)} ${figures}`);
  for (const problem of problems) console.error(`    ${problem}`);
}

const reports = await run(inputs, seed, values.only, tell);
const failed = reports.some(({ problems }) => problems.length > 0);
if (failed) console.error(`Again: pnpm fuzz --inputs ${inputs} --seed ${seed} --only <name>`);
process.exit(failed || reports.length === 0 ? 1 : 0);
