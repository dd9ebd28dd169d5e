import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { inTurns, table, times } from '../harness.ts';

const VARIANTS = ['bare', 'middleware', 'bare, async', 'handler'] as const;
type Variant = (typeof VARIANTS)[number];
const server = fileURLToPath(new URL('server.ts', import.meta.url));

async function told(child: ChildProcess): Promise<number> {
  const [value] = (await once(child, 'message')) as [number];
  return value;
}

/** The CPU time of the server per request, in µs, while it gets as many as it can serve. */
async function measure(variant: Variant): Promise<number> {
  const child = fork(server, [variant], { execArgv: ['--import', 'tsx'] });
  const port = await told(child);
  const load = async (duration: number): Promise<number> => {
    const url = `http://127.0.0.1:${port}/orders/7/pay`;
    const result = await autocannon({ url, method: 'POST', connections: 20, duration });
    if (result.non2xx > 0 || result.errors > 0) throw new Error(`${variant}: requests failed.`);
    return result.requests.total;
  };
  const used = async (): Promise<number> => {
    child.send('usage');
    return told(child);
  };
  await load(2);
  const before = await used();
  const requests = await load(3);
  const spent = (await used()) - before;
  child.disconnect();
  await once(child, 'exit');
  return spent / requests;
}

/** What a lock adds to a route: CPU time per request, uncontended. */
export async function run(): Promise<boolean> {
  const cost = await inTurns(VARIANTS, 5, measure);
  const row = (variant: Variant, bare: Variant): string[] => [
    variant,
    `${cost[variant].toFixed(1)} µs`,
    `${(cost[variant] - cost[bare]).toFixed(1)} µs`,
    times(cost[variant] / cost[bare]),
  ];
  const rows = [
    row('bare', 'bare'),
    row('middleware', 'bare'),
    row('bare, async', 'bare, async'),
    row('handler', 'bare, async'),
  ];
  table('Express', ['route', 'CPU per request', 'lock', 'to bare'], rows);
  return true;
}
