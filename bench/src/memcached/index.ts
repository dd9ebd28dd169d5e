import { ensureBinaries, MEMCACHED, startMemcached } from '@holdfast/test-servers';
import { inChild, inTurns, table, times, verdict } from '../harness.ts';

const VARIANTS = ['holdfast', 'raw memjs'] as const;
const WORKS = ['sequential', '64 in parallel'];
const GOAL = 0.9;
const child = new URL('child.ts', import.meta.url);

/** The memcached store beside add and delete of memjs, on a server of their own. */
export async function run(): Promise<boolean> {
  const [binary] = (await ensureBinaries([MEMCACHED])) as [string];
  const server = await startMemcached(binary);
  const rows: string[][] = [];
  let reached = true;
  try {
    const address = `${server.host}:${server.port}`;
    for (const work of WORKS) {
      const ns = await inTurns(VARIANTS, 5, (name) =>
        inChild<number>(child, [name, work, address]),
      );
      const ratio = ns['raw memjs'] / ns.holdfast;
      reached &&= ratio >= GOAL;
      rows.push([
        work,
        ...VARIANTS.map((name) => `${(ns[name] / 1_000).toFixed(1)} µs`),
        times(ratio),
        verdict(ratio >= GOAL, `≥ ${GOAL}`),
      ]);
    }
  } finally {
    await server.stop();
  }
  table(
    'memcached',
    ['lock + release on memcached', 'holdfast', 'memjs add + delete', 'rate to memjs', ''],
    rows,
  );
  return reached;
}
