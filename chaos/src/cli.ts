// `pnpm chaos --minutes N [--topology …] [--client …] [--seed S]`: processes lock while they, the servers
// and the connections between them are killed, frozen and cut off.
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { check, run, type Report } from './run.ts';
import { topologies } from './topologies/index.ts';
import { REDIS_CLIENTS, type TopologyKind } from './topologies/topology.ts';

/** Of what is wrong, so much is printed. */
const SHOWN = 20;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    topology: { type: 'string', default: 'single' },
    client: { type: 'string', default: 'ioredis' },
    seed: { type: 'string' },
    processes: { type: 'string', default: '8' },
    history: { type: 'string' },
    check: { type: 'string' },
  },
});

function usage(message: string): never {
  console.error(message);
  process.exit(2);
}

function numberOf(name: 'minutes' | 'processes' | 'seed', fallback?: number): number {
  const text = values[name];
  const number = text === undefined ? fallback : Number(text);
  if (number === undefined || !(number > 0)) usage(`--${name} takes a number above 0.`);
  return number;
}

function choice(name: 'topology' | 'client', from: readonly string[]): readonly string[] {
  const value = values[name];
  if (value === 'all') return from;
  if (!from.includes(value)) usage(`--${name} takes one of ${[...from, 'all'].join(', ')}.`);
  return [value];
}

function printVerdict({ violations, allowed }: Pick<Report, 'violations' | 'allowed'>): boolean {
  for (const [what, count] of Object.entries(allowed)) {
    console.log(`  ${`not promised: ${what}`.padEnd(44)} ${count}`);
  }
  for (const { rule, message } of violations.slice(0, SHOWN))
    console.error(`✘ ${rule}: ${message}`);
  if (violations.length > SHOWN) console.error(`✘ and ${violations.length - SHOWN} more.`);
  return violations.length === 0;
}

if (values.check !== undefined) {
  const good = printVerdict(check(values.check));
  console.log(good ? '✔ The history breaks no rule.' : '✘ The history breaks rules.');
  process.exit(good ? 0 : 1);
}

const minutes = numberOf('minutes');
const processes = numberOf('processes');
const seed = numberOf('seed', 1 + Math.floor(Math.random() * 1_000_000));
const clients = choice('client', REDIS_CLIENTS);
const runs = choice('topology', Object.keys(topologies)).flatMap((topology) => {
  const { libraries } = topologies[topology] as TopologyKind;
  const own = libraries.length === 1 ? libraries : clients.filter((one) => libraries.includes(one));
  if (own.length === 0) console.log(`${topology}: ${clients.join()} cannot reach it.`);
  return own.map((library) => ({ topology, library }));
});
if (runs.length === 0) process.exit(2);

let wrong = 0;
for (const { topology, library } of runs) {
  const seconds = (minutes * 60) / runs.length;
  const what = `${topology}, ${library}, seed ${seed}`;
  console.log(`${what}: ${processes} processes, ${Math.round(seconds)} s of faults …`);
  const history =
    values.history ?? join(tmpdir(), `holdfast-chaos-${topology}-${library}-${process.pid}.jsonl`);
  const report = await run({ topology, library, seconds, seed, processes, history });
  const { oracle, faults } = report;
  const total = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const figures: Record<string, string | number> = {
    'locks granted': oracle.grants,
    'longest acquisition': `${(oracle.longest / 1_000).toFixed(1)} s`,
    ...Object.fromEntries(Object.entries(oracle.endings).map(([how, n]) => [`ended: ${how}`, n])),
    ...Object.fromEntries(Object.entries(oracle.losses).map(([why, n]) => [`lost: ${why}`, n])),
    faults: total,
    ...faults,
  };
  for (const [name, value] of Object.entries(figures)) console.log(`  ${name.padEnd(44)} ${value}`);
  if (printVerdict(report)) {
    console.log(`✔ ${what}: ${oracle.grants} locks, ${total} faults, no rule broken.`);
    if (values.history === undefined) rmSync(history);
  } else {
    wrong += 1;
    console.error(`✘ ${what}: see ${history}, and check it again by --check.`);
  }
}
process.exit(wrong === 0 ? 0 : 1);
