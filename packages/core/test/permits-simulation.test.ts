import { describe, expect, test } from 'vitest';
import { faultyStore, type Fault } from '../../testing/src/index.ts';
import {
  createLocker,
  LockStoreError,
  memoryStore,
  type Lock,
  type LockStore,
} from '../src/index.ts';
import { seededRandom, variant, virtualClock } from './kit.ts';

const LIMIT = 4;
const KEYS = ['readers', 'permits'];
const TASKS = 60;

interface Held {
  readonly key: string;
  readonly weight: number;
  readonly shared: boolean;
  readonly lock: Lock;
}

/** Those that would pass `assertHeld()` now are too many, or of kinds that exclude each other. */
function clashOf(held: ReadonlySet<Held>): string | undefined {
  for (const key of KEYS) {
    const all = [...held].filter((one) => one.key === key && one.lock.state === 'held');
    const weight = all.reduce((sum, one) => sum + one.weight, 0);
    if (key === 'permits' && weight > LIMIT) return `${weight} of ${LIMIT} are held`;
    const writers = all.filter(({ shared }) => !shared);
    if (key === 'readers' && writers.length > 0 && all.length > 1) return 'a writer is not alone';
  }
  return undefined;
}

/** What goes wrong with requests, and with the machine. */
type Trouble = 'none' | 'some';

/**
 * A seeded run of tasks of several processes, which want permits of all weights, read and write, give up,
 * and crash.
 *
 * @returns what was wrong
 */
async function run(
  seed: number,
  trouble: Trouble,
  breakIt: (store: LockStore) => Partial<LockStore> = () => ({}),
): Promise<string[]> {
  const random = seededRandom(seed);
  const clock = virtualClock({ seed });
  const memory = memoryStore({ clock });
  let healthy = trouble === 'none';
  const decide = (): Fault | undefined => {
    if (healthy || random() > 0.08) return undefined;
    const kinds = ['fail-before', 'fail-after', 'drop-reply', 'drop-request', 'duplicate'] as const;
    return { kind: kinds[Math.floor(random() * kinds.length)] as (typeof kinds)[number] };
  };
  const faults = faultyStore(variant(memory, breakIt(memory)), { clock, decide });
  const lockers = [1, 2, 3].map((name) =>
    createLocker({ store: faults, clock, ttl: 2_000, name: String(name) }),
  );
  const held = new Set<Held>();
  const wrong: string[] = [];
  const look = (): void => {
    const clash = clashOf(held);
    if (clash !== undefined) wrong.push(clash);
  };
  /** By locker and key, the order in which waiting tasks asked and were served. */
  const asked = new Map<string, number[]>();
  const perform = async (task: number): Promise<void> => {
    await clock.advance(0);
    const who = Math.floor(random() * lockers.length);
    const key = KEYS[Math.floor(random() * KEYS.length)] as string;
    const shared = key === 'readers' && random() < 0.7;
    const weight = key === 'permits' ? 1 + Math.floor(random() * LIMIT) : 1;
    const options = key === 'permits' ? { limit: LIMIT, weight } : { shared };
    const hold = Math.floor(random() * 400);
    const crashes = trouble === 'some' && random() < 0.1;
    const gone = new AbortController();
    const line = `${who} ${key}`;
    if (random() < 0.15) clock.setTimeout(() => gone.abort(new Error('gone')), 1 + random() * 800);
    asked.set(line, [...(asked.get(line) ?? []), task]);
    const leave = (): boolean => {
      const waiting = asked.get(line) ?? [];
      const first = waiting[0] === task;
      asked.set(
        line,
        waiting.filter((one) => one !== task),
      );
      return first;
    };
    let lock: Lock;
    try {
      const signal = gone.signal;
      lock = await (lockers[who] as (typeof lockers)[0]).lock(key, {
        ...options,
        signal,
        renew: !crashes,
        onLost: () => {},
      });
    } catch (error) {
      leave();
      if (error !== gone.signal.reason && !(error instanceof LockStoreError)) {
        wrong.push(`refused: ${String(error)}`);
      }
      return;
    }
    if (!leave()) wrong.push(`task ${task} has overtaken others of its process`);
    const one = { key, weight, shared, lock };
    held.add(one);
    look();
    await new Promise<void>((resolve) => {
      clock.setTimeout(resolve, 1 + hold);
    });
    look();
    held.delete(one);
    if (!crashes) await lock.release();
  };
  const open = new Set<number>();
  for (let task = 0; task < TASKS; task++) {
    open.add(task);
    void perform(task).then(() => open.delete(task));
    await clock.advance(Math.floor(random() * 120));
    look();
  }
  healthy = true;
  for (let passed = 0; passed < 120_000 && open.size > 0; passed += 500) {
    await clock.advance(500);
    look();
  }
  if (open.size > 0) wrong.push(`${open.size} tasks are stuck`);
  // What crashed or could not be released runs out.
  await clock.advance(10_000);
  for (const key of KEYS) {
    const left = await memory.inspect({ key, client: '' });
    if (left !== null) wrong.push(`${key} is still held by ${left.holders?.length ?? 1}`);
  }
  for (const locker of lockers) await locker.close();
  return wrong;
}

const seeds = Array.from({ length: 12 }, (_, index) => index + 1);

describe('a seeded run of permits, readers and writers', () => {
  test.each(seeds)('has no fault on a healthy store: seed %i', async (seed) => {
    expect(await run(seed, 'none')).toEqual([]);
  });

  test.each(seeds)('has no fault where requests and tasks fail: seed %i', async (seed) => {
    expect(await run(seed, 'some')).toEqual([]);
  });
});

describe('a seeded run notices a store that', () => {
  const mutants: Record<string, (store: LockStore) => Partial<LockStore>> = {
    'holds more weight than the limit': (store) => ({
      acquire: (request) => {
        const { sharing } = request;
        if (sharing === undefined) return store.acquire(request);
        return store.acquire({ ...request, sharing: { ...sharing, weight: 1 } });
      },
    }),
    'lets a writer in beside readers': (store) => ({
      acquire: (request) => {
        if (request.key !== 'readers') return store.acquire(request);
        return store.acquire({ ...request, sharing: { limit: 1, weight: 1, shared: true } });
      },
    }),
    'leaks a permit': (store) => ({
      release: (request) =>
        store.release(request.permit === true ? { ...request, keepFor: 3_600_000 } : request),
    }),
    'wakes nobody': (store) => ({
      subscribe: () => () => {},
      refresh: (_client, keys) => keys.map(() => Infinity),
      acquire: async (request) => {
        const reply = await store.acquire(request);
        return reply.granted ? reply : { granted: false, conflict: reply.conflict };
      },
    }),
  };
  test.each(Object.entries(mutants))('%s', async (_, breakIt) => {
    const found = [];
    for (const seed of seeds.slice(0, 4)) found.push(...(await run(seed, 'none', breakIt)));
    expect(found).not.toEqual([]);
  });
});
