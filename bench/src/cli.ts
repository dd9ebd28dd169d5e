// `pnpm bench [name …] [--write] [--quick] [--client <library>] [--axis <name>|--redraw]`: runs the benchmarks of
// these names, or all, and prints every goal and whether it is reached. `--write` puts the figures into
// `docs/performance.md`. Quickly: less time and fewer sizes, and the figures are rough. `redis` by one client
// library, beside the library's own commands; `growth` along one axis, or drawn again from its saved figures.
import { parseArgs } from 'node:util';
import { memcached, memory, redis as alone } from './alone/index.ts';
import { run as bullmq } from './bullmq/index.ts';
import { run as express } from './express/index.ts';
import type { Goal } from './goals.ts';
import { draw, run as growth } from './growth/index.ts';
import { run as permits } from './permits/index.ts';
import { run as redis } from './redis/index.ts';
import { beginSection, circumstances, printGoals, writeSection } from './report.ts';
import { run as size } from './size/index.ts';

const { positionals: names, values } = parseArgs({
  options: {
    client: { type: 'string' },
    axis: { type: 'string' },
    redraw: { type: 'boolean' },
    quick: { type: 'boolean' },
    write: { type: 'boolean' },
  },
  allowPositionals: true,
});

const benchmarks: Record<string, () => Promise<Goal[]>> = {
  alone,
  memory,
  memcached,
  redis: () => redis(values.client),
  permits,
  express,
  bullmq,
  size,
  growth: () => growth(values.axis, values.write === true),
};

function refuse(reason: string): never {
  console.error(reason);
  process.exit(2);
}

const unknown = names.find((name) => !Object.hasOwn(benchmarks, name));
if (unknown !== undefined) {
  refuse(`There is no benchmark '${unknown}'. There are: ${Object.keys(benchmarks).join(', ')}.`);
}
if (values.client !== undefined && (names.join() !== 'redis' || values.write === true)) {
  refuse('`--client` is for `redis` alone, and its figures are not written.');
}
if (values.axis !== undefined && names.join() !== 'growth')
  refuse('`--axis` is for `growth` alone.');

if (values.redraw === true) {
  if (names.join() !== 'growth') refuse('`--redraw` is for `growth` alone.');
  draw();
  process.exit();
}

const all: [string, Goal][] = [];
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) {
  const measured = circumstances();
  beginSection();
  const goals = await (benchmarks[name] as () => Promise<Goal[]>)();
  all.push(...goals.map((goal): [string, Goal] => [name, goal]));
  if (values.write === true) writeSection(name, goals, measured);
}
if (all.length > 0) printGoals(all);
process.exit(all.every(([, { reached }]) => reached) ? 0 : 1);
