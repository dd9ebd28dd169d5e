// `pnpm bench [name …]`: runs the benchmarks of these names, or all.
import { run as alone } from './alone/index.ts';
import { run as bullmq } from './bullmq/index.ts';
import { run as express } from './express/index.ts';
import { run as memcached } from './memcached/index.ts';
import { run as memory } from './memory/index.ts';
import { run as redis } from './redis/index.ts';
import { run as size } from './size/index.ts';

const benchmarks: Record<string, () => Promise<boolean>> = {
  alone,
  memory,
  redis,
  memcached,
  express,
  bullmq,
  size,
};

const names = process.argv.slice(2);
let reached = true;
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) {
  const benchmark = benchmarks[name];
  if (benchmark === undefined) {
    console.error(
      `There is no benchmark '${name}'. There are: ${Object.keys(benchmarks).join(', ')}.`,
    );
    process.exit(2);
  }
  reached = (await benchmark()) && reached;
}
process.exit(reached ? 0 : 1);
