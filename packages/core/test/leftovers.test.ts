import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, test } from 'vitest';
import { createLocker, memoryStore, type Locker } from '../src/index.ts';
import { settled, virtualClock } from './kit.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

async function heapUsed(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    collect();
    await settled();
  }
  return process.memoryUsage().heapUsed;
}

/** What is used in a round. */
const KEYS = 4_000;
/** Anything that is kept for each key is more: its name and a place in a map alone. */
const BYTES_PER_KEY = 25;

interface Using {
  readonly one: Locker;
  readonly other: Locker;
  readonly pass: (ms: number) => Promise<void>;
}

/** What may be done with a key. Each leaves nothing, in the locker or in the store. */
const uses: Record<string, (key: string, using: Using) => Promise<unknown>> = {
  'a lock': async (key, { one }) => (await one.lock(key)).release(),
  withLock: async (key, { one }) => one.withLock(key, (lock) => lock.signal),
  'several keys': async (key, { one }) => (await one.lock([key, `${key}*`])).release(),
  'an explicit owner': async (key, { one }) => {
    await one.lock(key, { owner: key, ttl: 60_000 });
    await (await one.lock(key, { owner: key })).release();
  },
  'a hand-off': async (key, { one }) =>
    Promise.all([one.withLock(key, () => {}), one.withLock(key, () => {})]),
  'a busy key': async (key, { one, other }) => {
    const lock = await one.lock(key);
    await other.tryLock(key);
    await other.inspect(key);
    await lock.release();
  },
  'a wait between lockers': async (key, { one, other }) => {
    const lock = await one.lock(key);
    const next = other.lock(key);
    await lock.release();
    await (await next).release();
  },
  'a wait that is given up': async (key, { one, other }) => {
    const lock = await one.lock(key);
    const controller = new AbortController();
    const next = other.lock(key, { signal: controller.signal }).catch(() => {});
    controller.abort();
    await Promise.all([next, lock.release()]);
  },
  'a forced release': async (key, { one }) => {
    const lock = await one.lock(key, { ttl: 60_000 });
    await one.forceRelease(key);
    await lock.release();
  },
  'a lock that nobody releases': async (key, { one }) =>
    void (await one.lock(key, { renew: false, ttl: 10 })),
  'a lock that is kept for a while': async (key, { one }) =>
    (await one.lock(key, { holdAtLeast: 20 })).release(),
};

describe('very many keys leave nothing behind after', () => {
  test.each(Object.entries(uses))('%s', async (_, use) => {
    const clock = virtualClock();
    const store = memoryStore({ clock });
    const using: Using = {
      one: createLocker({ store, clock }),
      other: createLocker({ store, clock }),
      pass: (ms) => clock.advance(ms),
    };
    const some = async (from: number, to: number): Promise<void> => {
      for (let index = from; index < to; index++) {
        await use(`key:${index}`, using);
        if (index % 1_000 === 0) await using.pass(100);
      }
      // The store looks for what has run out with every so many grants.
      await using.pass(120_000);
      for (let index = 0; index < 3_000; index++) await (await using.one.lock('same')).release();
    };
    await some(0, KEYS);
    // What is kept for each key grows with every round; what the process does besides, now and then.
    const growth: number[] = [];
    let before = await heapUsed();
    for (let round = 1; round <= 3; round++) {
      await some(round * KEYS, (round + 1) * KEYS);
      const after = await heapUsed();
      growth.push((after - before) / KEYS);
      before = after;
    }
    expect(Math.min(...growth)).toBeLessThan(BYTES_PER_KEY);
    // The locker and its store are alive all the time.
    expect((await using.other.tryLock('same'))?.state).toBe('held');
  });
});

describe('a process', () => {
  const warnings: Error[] = [];
  const note = (warning: Error): void => void warnings.push(warning);

  afterEach(() => {
    process.off('warning', note);
    warnings.length = 0;
  });

  test('sees no warning of too many listeners, whatever shares one signal', async () => {
    process.on('warning', note);
    const locker = createLocker();
    const controller = new AbortController();
    const { signal } = controller;
    const locks = await Promise.all(
      Array.from({ length: 50 }, (_, index) => locker.lock(`k${index}`, { signal })),
    );
    const waits = Array.from({ length: 50 }, (_, index) =>
      locker.lock([`k${index}`, 'last'], { signal }).catch((reason: unknown) => reason),
    );
    // The work under a lock may fan out.
    for (const lock of locks) {
      for (let part = 0; part < 20; part++) lock.signal.addEventListener('abort', () => {});
    }
    await settled();
    controller.abort('x');
    expect(await Promise.all(waits)).toEqual(waits.map(() => 'x'));
    await locker.close();
    await settled();
    expect(warnings).toEqual([]);
  });
});

test('a locker takes any number of different ttls', async () => {
  const clock = virtualClock();
  const locker = createLocker({ clock, store: memoryStore({ clock }) });
  for (let ttl = 100; ttl < 400; ttl++) {
    const lock = await locker.lock(`k${ttl}`, { ttl, renew: false });
    expect(lock.remaining).toBe(ttl - Math.min(50, ttl / 4));
  }
  await clock.advance(400);
  expect(clock.timers).toBe(0);
});
