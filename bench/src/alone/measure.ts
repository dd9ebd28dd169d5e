import { inChild, median } from '../harness.ts';
import { onMemcached, onRedis, watchRedis, type Spent } from '../servers.ts';
import type { Figures, Measured } from './child.ts';
import { variants, type Store } from './variants.ts';

/** How long each process measures, in ms, and how many processes there are per variant. */
export interface Length {
  readonly fresh: number;
  readonly steady: number;
  readonly rounds: number;
}

/** One process's figures, and what the server spent on it: per lock and release. */
export interface Run extends Measured, Spent {}

const child = 'alone/child';

/** Runs something beside a fresh server, if the store has one. */
async function withServer<T>(
  store: Store,
  work: (address: string) => Promise<T>,
): Promise<readonly [T, Spent]> {
  const nothing = { serverCpu: 0, commands: 0 };
  if (store === 'memory') return [await work(''), nothing];
  if (store === 'memcached') return [await onMemcached(work), nothing];
  return onRedis(async (server, url) => {
    const spent = await watchRedis(server);
    return [await work(url), await spent()] as const;
  });
}

/** Runs all variants of a store in turns, so that the machine's moods hit all of them alike. */
export async function measure(
  store: Store,
  work: string,
  { fresh, steady, rounds }: Length,
): Promise<Map<string, Run>> {
  const runs = new Map<string, Run[]>();
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(variants[store])) {
      const [measured, { serverCpu, commands }] = await withServer(store, (address) =>
        inChild<Measured>(child, [store, work, name, address, String(fresh), String(steady)], []),
      );
      const locks = measured.fresh.locks + measured.steady.locks;
      const run = { ...measured, serverCpu: serverCpu / locks, commands: commands / locks };
      runs.set(name, [...(runs.get(name) ?? []), run]);
    }
  }
  return new Map([...runs].map(([name, all]) => [name, middle(all)]));
}

/** The median of each figure. */
function middle(runs: readonly Run[]): Run {
  const of = (pick: (one: Run) => number): number => median(runs.map(pick));
  const figures = (window: 'fresh' | 'steady'): Figures => ({
    locks: of((one) => one[window].locks),
    perSecond: of((one) => one[window].perSecond),
    p50: of((one) => one[window].p50),
    p99: of((one) => one[window].p99),
    cpu: of((one) => one[window].cpu),
  });
  return {
    fresh: figures('fresh'),
    steady: figures('steady'),
    serverCpu: of((one) => one.serverCpu),
    commands: of((one) => one.commands),
  };
}

export type Bytes = ReadonlyMap<string, number>;

/** What a large young generation does: nothing is collected while it counts. */
const UNCOLLECTED = [
  '--expose-gc',
  '--max-semi-space-size=1024',
  '--min-semi-space-size=1024',
] as const;

/** Bytes allocated per lock and release. */
export const allocated = (store: Store): Promise<Bytes> => weigh(store, 'allocated', UNCOLLECTED);

/** Bytes of heap per lock that is held, of 100,000. */
export const held = (store: Store): Promise<Bytes> => weigh(store, 'held', ['--expose-gc']);

async function weigh(store: Store, work: string, flags: readonly string[]): Promise<Bytes> {
  const found = new Map<string, number>();
  for (const name of Object.keys(variants[store])) {
    const [bytes] = await withServer(store, (address) =>
      inChild<number>(child, [store, work, name, address, '0', '0'], flags),
    );
    found.set(name, bytes);
  }
  return found;
}
