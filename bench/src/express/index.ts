import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import autocannon from 'autocannon';
import type { Goal } from '../goals.ts';
import { compiled, inTurns, times } from '../harness.ts';
import { table } from '../report.ts';
import { onRedis } from '../servers.ts';

/** Of each form: its route without a lock, and with one on each store. */
const FORMS = ['middleware', 'handler'] as const;
const STORES = ['bare', 'memory', 'Redis'] as const;
type Form = (typeof FORMS)[number];
type Variant = `${Form}, ${(typeof STORES)[number]}`;

const ROUTES: Record<Form, { bare: string; locked: string }> = {
  middleware: { bare: 'bare', locked: 'middleware' },
  handler: { bare: 'bare, async', locked: 'handler' },
};

/** What a request costs: CPU time of the server under load, and time for a client that asks alone. */
interface Cost {
  readonly cpu: number;
  readonly alone: number;
}

const server = compiled('express/server');

async function told(child: ChildProcess): Promise<number> {
  const [value] = (await once(child, 'message')) as [number];
  return value;
}

/** In µs. */
async function cost(route: string, redis: string): Promise<Cost> {
  const child = fork(server, [route, redis], { execArgv: [] });
  const port = await told(child);
  const load = async (connections: number, duration: number): Promise<number> => {
    const url = `http://127.0.0.1:${port}/orders/7/pay`;
    const result = await autocannon({ url, method: 'POST', connections, duration });
    if (result.non2xx > 0 || result.errors > 0) throw new Error(`${route}: requests failed.`);
    return result.requests.total;
  };
  const used = async (): Promise<number> => {
    child.send('usage');
    return told(child);
  };
  await load(20, 2);
  const before = await used();
  const requests = await load(20, 2);
  const cpu = ((await used()) - before) / requests;
  const alone = 1e6 / (await load(1, 1));
  child.disconnect();
  await once(child, 'exit');
  return { cpu, alone };
}

async function measureAll(redis: string) {
  const variants = FORMS.flatMap((form) => STORES.map((store): Variant => `${form}, ${store}`));
  const alone = new Map<Variant, number>();
  const cpu = await inTurns(variants, 3, async (variant) => {
    const [form, store] = variant.split(', ') as [Form, (typeof STORES)[number]];
    const route = store === 'bare' ? ROUTES[form].bare : ROUTES[form].locked;
    const found = await cost(route, store === 'Redis' ? redis : '');
    // Of a client that asks alone: the best, which other work on the machine disturbed least.
    alone.set(variant, Math.min(found.alone, alone.get(variant) ?? Infinity));
    return found.cpu;
  });
  return { variants, cpu, alone };
}

/** What a lock that nobody else wants adds to a route. */
export async function run(): Promise<Goal[]> {
  await onRedis(async (_, url) => {
    const { variants, cpu, alone } = await measureAll(url);
    const rows = variants.map((variant) => {
      const bare = variant.replace(/, .*/, ', bare') as Variant;
      const [one, none] = [alone.get(variant) ?? 0, alone.get(bare) ?? 0];
      return [
        variant,
        `${cpu[variant].toFixed(1)} µs`,
        `${(cpu[variant] - cpu[bare]).toFixed(1)} µs`,
        times(cpu[variant] / cpu[bare]),
        `${one.toFixed(0)} µs`,
        `${(one - none).toFixed(0)} µs`,
      ];
    });
    const head = ['route', 'CPU per request', 'lock', 'to bare', 'asked alone', 'lock'];
    table('Express', head, rows);
  });
  return [];
}
