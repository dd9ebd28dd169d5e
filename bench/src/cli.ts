// `pnpm bench [name …] [--quick] [--client <library>]`: runs the benchmarks of these names, or all; `redis` by one
// client library, beside the library's own commands. Quickly: `alone` and `bullmq` take a fraction of the time,
// and their figures are rough.
import { parseArgs } from 'node:util';
import { run as alone } from './alone/index.ts';
import { run as bullmq } from './bullmq/index.ts';
import { run as express } from './express/index.ts';
import { run as memcached } from './memcached/index.ts';
import { run as memory } from './memory/index.ts';
import { run as permits } from './permits/index.ts';
import { run as redis } from './redis/index.ts';
import { run as size } from './size/index.ts';

const benchmarks: Record<string, (client?: string) => Promise<boolean>> = {
  alone,
  memory,
  redis,
  permits,
  memcached,
  express,
  bullmq,
  size,
};

const { positionals: names, values } = parseArgs({
  options: { client: { type: 'string' }, quick: { type: 'boolean' } },
  allowPositionals: true,
});
if (values.client !== undefined && names.join() !== 'redis') {
  console.error('`--client` is for `redis` alone.');
  process.exit(2);
}
let reached = true;
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) {
  const benchmark = benchmarks[name];
  if (benchmark === undefined) {
    console.error(
      `There is no benchmark '${name}'. There are: ${Object.keys(benchmarks).join(', ')}.`,
    );
    process.exit(2);
  }
  reached = (await benchmark(values.client)) && reached;
}
process.exit(reached ? 0 : 1);
