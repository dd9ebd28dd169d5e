import { expect, test } from 'vitest';
import { run } from '../src/run.ts';
import { topologies } from '../src/topologies/index.ts';

/** Few, for a machine that has other things to do. */
const PROCESSES = 4;

/** Each client somewhere; `pnpm chaos --client all` has all of them everywhere. */
const clients: Record<string, string> = {
  single: 'glide',
  sentinel: 'iovalkey',
  durability: 'node-redis',
  cluster: 'ioredis',
  quorum: 'node-redis',
  memcached: 'memjs',
};

test.for(Object.entries(clients))(
  'no rule is broken on %s with %s, whatever is killed, frozen or cut off',
  { timeout: 600_000 },
  async ([topology, library]) => {
    const report = await run({ topology, library, seconds: 5, seed: 1, processes: PROCESSES });
    expect(report.violations).toEqual([]);
    // One of the servers, one of the connections, one of the processes.
    expect(Object.keys(report.faults).length).toBeGreaterThanOrEqual(3);
    // Every task of every process has had its turn.
    expect(report.oracle.grants).toBeGreaterThan(PROCESSES);
  },
);

test('every topology is among them', () => {
  expect(Object.keys(clients)).toEqual(Object.keys(topologies));
});
