// `pnpm chaos --minutes N --client <library>`: processes lock on Redis while both are killed, frozen and
// cut off.
import { parseArgs } from 'node:util';
import { libraries } from './clients.ts';
import { run } from './run.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    client: { type: 'string', default: 'ioredis' },
  },
});
const { client } = values;
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error('--minutes takes a number above 0.');
  process.exit(2);
}
if (!(client in libraries)) {
  console.error(`--client takes one of ${Object.keys(libraries).join(', ')}.`);
  process.exit(2);
}
console.log(`8 processes on ${client}, 3 tasks each, 3 locks, for ${minutes} minutes …`);
const { history, faults, problems } = await run(minutes * 60, client);

const figures: Record<string, string | number> = {
  'locks granted': history.grants,
  'rounds finished': history.rounds,
  'waits given up': history.gaveUp,
  'longest round': `${(history.longestWait / 1_000).toFixed(1)} s`,
  'given up or too late to write': history.late,
  ...Object.fromEntries(Object.entries(history.losses).map(([why, n]) => [`lost: ${why}`, n])),
  ...faults,
};
for (const [name, value] of Object.entries(figures)) console.log(`  ${name.padEnd(34)} ${value}`);
for (const problem of problems) console.error(`✘ ${problem}`);
if (problems.length === 0) {
  console.log('✔ Nobody overlapped, tokens grew, everyone finished, nothing was left behind.');
}
process.exit(problems.length === 0 ? 0 : 1);
