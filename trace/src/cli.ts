// `pnpm trace [part of a title]`: what runs in one operation, function by function, and a table of counts.
// Without an argument only the table, and `all` for everything.
import { register } from 'node:module';
import { count, lines, withoutPlumbing, type Count } from './recorder.ts';

register('./instrument.ts', import.meta.url);
// Only now: what it imports is instrumented.
const { walks } = await import('./operations.ts');

const [wanted] = process.argv.slice(2);
const shown = await walks();

for (const { title, calls } of shown) {
  if (wanted === undefined || !(wanted === 'all' || title.includes(wanted))) continue;
  console.log(`\n${title}\n${lines(calls).join('\n')}`);
}

const row = ({ calls, files, moves }: Count): string =>
  [calls, files, moves].map((number) => String(number).padStart(6)).join('');
const width = Math.max(...shown.map(({ title }) => title.length));
console.log(`\n${''.padEnd(width)}   calls files moves   without plumbing`);
for (const { title, calls } of shown) {
  console.log(`${title.padEnd(width)} ${row(count(calls))}  ${row(count(withoutPlumbing(calls)))}`);
}
process.exit(0);
