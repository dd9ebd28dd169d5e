import { Item, SortedSet } from './dataset.ts';

/** One who holds a lock, as the keys of the lock say; read here once more: the scripts must not vouch for themselves. */
export interface Held {
  readonly kind: 'held' | 'kept';
  readonly ends: number;
  readonly token: number;
  readonly tokens: number;
  readonly id: string;
  readonly owner: string;
  /** Of a permit. */
  readonly sharing?: { readonly limit: number; readonly weight: number };
}

/** What a key holds, by its name. */
export type ReadKey = (key: string) => unknown;

const NOBODY: readonly Held[] = [];
const ALONE = /^holdfast:1 (held|kept) (\d+) \d+ (\d+) (\d+) \S+ (\S+) \S+ \S+ (\S+)$/;
const SEVERAL = /^holdfast:1 several \d+ \d+ (\d+) (-?\d+)$/;
const WEIGHT = /^\d+ (\d+) (?:held|kept|reserved) /;
const PERMIT = /^(\d+) (\d+) (held|kept) \S+ \S+ (\S+)$/;

/** What was read before: most often a key says what it said at the last look. */
const read = new Map<string, readonly Held[] | undefined>();
const MOST_READ = 10_000;

/** How many tokens a grant on memcached has. */
const BLOCK = 1_024;

/** Who holds a lock, also beyond the end of a lease: one, or those who have a permit. */
export function grantsOf(lock: string, readKey: ReadKey): readonly Held[] {
  const value = readKey(lock);
  if (value instanceof Item) return inItem(value);
  if (typeof value !== 'string') return NOBODY;
  const known = read.get(value);
  if (known !== undefined) return known;
  const several = SEVERAL.exec(value);
  if (several !== null) return permitsOf(lock, Number(several[1]), readKey);
  const held = alone(value);
  if (read.size === MOST_READ) read.clear();
  read.set(value, held);
  return held;
}

function alone(value: string): readonly Held[] {
  const match = ALONE.exec(value);
  if (match === null) return NOBODY;
  const [, kind, ends, token, tokens, id = '', owner = ''] = match;
  return [
    {
      kind: kind as Held['kind'],
      ends: Number(ends),
      token: Number(token),
      tokens: Number(tokens),
      id,
      owner: owner === '=' ? id : owner,
    },
  ];
}

function permitsOf(lock: string, limit: number, readKey: ReadKey): readonly Held[] {
  const holders = readKey(`${lock}:holders`);
  const leases = readKey(`${lock}:leases`);
  if (!(holders instanceof Map) || !(leases instanceof SortedSet)) return NOBODY;
  const permits: Held[] = [];
  for (const [id, value] of holders as Map<string, string>) {
    const match = PERMIT.exec(value);
    if (match === null) continue;
    const [, token, weight, kind, owner = ''] = match;
    permits.push({
      kind: kind as Held['kind'],
      ends: leases.get(id) ?? 0,
      token: Number(token),
      tokens: 1,
      id,
      owner: owner === '=' ? id : owner,
      sharing: { limit, weight: Number(weight) },
    });
  }
  return permits;
}

/** How much of its limit a lock says to be used, and how much those weigh who hold it or may; if several do. */
export function weightsOf(
  lock: string,
  readKey: ReadKey,
): { readonly said: number; readonly known: number } | undefined {
  const several = SEVERAL.exec(String(readKey(lock)));
  const holders = readKey(`${lock}:holders`);
  if (several === null || !(holders instanceof Map)) return undefined;
  let known = 0;
  for (const value of (holders as Map<string, string>).values()) {
    known += Number(WEIGHT.exec(value)?.[1] ?? 0);
  }
  return { said: Number(several[2]), known };
}

/**
 * Whether several hold a lock, and nothing is known of them: a server has lost what had not moved yet when the
 * rest of its keys had. It is free when the lease of the last would have ended.
 */
export function isHalfLost(lock: string, readKey: ReadKey): boolean {
  return SEVERAL.test(String(readKey(lock))) && readKey(`${lock}:holders`) === undefined;
}

function inItem({ value, cas, ends }: Item): readonly Held[] {
  if (value === '') return NOBODY;
  const { id, owner = id, token = cas * BLOCK, kept } = JSON.parse(value) as ItemOfLock;
  const kind = kept === true ? 'kept' : 'held';
  return [{ kind, ends: ends * 1_000, token, tokens: BLOCK, id, owner }];
}

interface ItemOfLock {
  readonly id: string;
  readonly owner?: string;
  readonly token?: number;
  readonly kept?: boolean;
}
