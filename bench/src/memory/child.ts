// One variant of one piece of work, in a fresh process: ns per operation, or bytes per held lock.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, type Lock } from '@holdfast/core';
import { Mutex } from 'async-mutex';

/** What all variants can do. */
interface Variant<Handle = unknown> {
  acquire(key: string): Promise<Handle>;
  release(handle: Handle): unknown;
  run(key: string, work: () => Promise<void>): Promise<void>;
}

function holdfast(): Variant<Lock> {
  const locker = createLocker();
  return {
    acquire: (key) => locker.lock(key),
    release: (lock) => lock.release(),
    run: (key, work) => locker.withLock(key, work),
  };
}

function asyncMutex(): Variant<() => void> {
  const mutexes = new Map<string, Mutex>();
  const mutexOf = (key: string): Mutex => {
    let mutex = mutexes.get(key);
    if (mutex === undefined) mutexes.set(key, (mutex = new Mutex()));
    return mutex;
  };
  return {
    acquire: (key) => mutexOf(key).acquire(),
    release: (release) => release(),
    run: (key, work) => mutexOf(key).runExclusive(work),
  };
}

/** The least that can be called a lock: a map of promise chains. No limits, no leases, no errors. */
function rawPromises(): Variant<() => void> {
  const tails = new Map<string, Promise<void>>();
  const acquire = async (key: string): Promise<() => void> => {
    const before = tails.get(key);
    let free!: () => void;
    const mine = new Promise<void>((resolve) => (free = resolve));
    tails.set(key, mine);
    if (before !== undefined) await before;
    return () => {
      if (tails.get(key) === mine) tails.delete(key);
      free();
    };
  };
  return {
    acquire,
    release: (release) => release(),
    run: async (key, work) => {
      const release = await acquire(key);
      try {
        await work();
      } finally {
        release();
      }
    },
  };
}

const variants: Record<string, () => Variant> = {
  holdfast,
  'async-mutex': asyncMutex,
  'raw promises': rawPromises,
};
const keys = Array.from({ length: 100_000 }, (_, index) => `key:${index}`);

async function lockAndRelease(variant: Variant, key: string): Promise<void> {
  const handle = await variant.acquire(key);
  await variant.release(handle);
}

const works: Record<string, (variant: Variant, count: number) => Promise<void>> = {
  sequential: async (variant, count) => {
    for (let done = 0; done < count; done++) await lockAndRelease(variant, 'key');
  },
  'many keys': async (variant, count) => {
    for (let done = 0; done < count; done++) {
      await lockAndRelease(variant, keys[done % 10_000] as string);
    }
  },
  withLock: async (variant, count) => {
    for (let done = 0; done < count; done++) await variant.run('key', async () => {});
  },
  parallel: async (variant, count) => {
    let left = count;
    const task = async (key: string): Promise<void> => {
      while (left-- > 0) await lockAndRelease(variant, key);
    };
    await Promise.all(keys.slice(0, 64).map(task));
  },
  '1,000 waiters': async (variant, count) => {
    for (let done = 0; done < count; done += 1_000) {
      await Promise.all(Array.from({ length: 1_000 }, () => lockAndRelease(variant, 'key')));
    }
  },
};

async function speed(variant: Variant, work: string): Promise<number> {
  const run = works[work] as (variant: Variant, count: number) => Promise<void>;
  await run(variant, 50_000);
  const rounds: number[] = [];
  for (let round = 0; round < 5; round++) {
    const startedAt = performance.now();
    await run(variant, 50_000);
    rounds.push(performance.now() - startedAt);
  }
  return (Math.min(...rounds) * 1e6) / 50_000;
}

async function heapUsed(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await sleep(10);
  }
  return process.memoryUsage().heapUsed;
}

async function heapPerLock(variant: Variant): Promise<number> {
  await works['sequential']?.(variant, 10_000);
  const held: unknown[] = Array.from({ length: keys.length }, () => null);
  const before = await heapUsed();
  for (const [index, key] of keys.entries()) held[index] = await variant.acquire(key);
  const bytes = (await heapUsed()) - before;
  return bytes / held.length;
}

const [name, work] = process.argv.slice(2) as [string, string];
const variant = (variants[name] as () => Variant)();
console.log(JSON.stringify(await (work === 'heap' ? heapPerLock(variant) : speed(variant, work))));
process.exit();
