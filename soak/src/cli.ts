// `pnpm soak --minutes N`: services under load with clients that leave; fails when anything grows.
import { parseArgs } from 'node:util';
import { run, type Figures } from './run.ts';

const MINUTE = 60;
const MEGABYTE = 1e6;
/** Between two looks, in s. */
const EVERY = 5;

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' } } });
const minutes = Number(values.minutes);
if (!(minutes > 0 && Number.isFinite(minutes))) {
  console.error('--minutes takes a number above 0.');
  process.exit(2);
}

function line(figures: Figures): string {
  const shown = Object.entries(figures).map(([name, value]) =>
    name.endsWith('heap') ? `${name} ${(value / MEGABYTE).toFixed(1)} MB` : `${name} ${value}`,
  );
  return shown.join(', ');
}

let printed = 0;
const { answered, left, problems } = await run({
  seconds: minutes * MINUTE,
  every: Math.min(EVERY, (minutes * MINUTE) / 20),
  told: (at, figures) => {
    if (at < (printed + 1) * MINUTE) return;
    printed = Math.floor(at / MINUTE);
    console.log(`${printed} min: ${line(figures)}`);
  },
});
const answers = Object.entries(answered).map(([status, count]) => `${count} × ${status}`);
console.log(`Answers: ${answers.join(', ')}; ${left} clients left before theirs.`);
for (const problem of problems) console.error(`✘ ${problem}`);
if (problems.length === 0) console.log('✔ Nothing has grown.');
process.exit(problems.length === 0 ? 0 : 1);
