import { describe, expect, test } from 'vitest';
import { createLocker, memoryStore } from '../src/index.ts';
import { virtualClock } from './kit.ts';

const MANY = 10_000;
/** Told in one turn of the event loop at most. */
const AT_ONCE = 1_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** How many were told in each turn, from now until all are. */
async function perTurn(told: readonly unknown[]): Promise<number[]> {
  const turns: number[] = [];
  for (let before = 0; told.length < MANY && turns.length < MANY; before = told.length) {
    await turn();
    turns.push(told.length - before);
  }
  return turns;
}

/** A locker whose time stands still: on a busy machine a second may pass between any two lines. */
function timeless() {
  const clock = virtualClock();
  return { clock, locker: createLocker({ store: memoryStore({ clock }), clock }) };
}

function inLine(count: number, lock: () => Promise<unknown>): unknown[] {
  const told: unknown[] = [];
  for (let index = 0; index < count; index++) {
    void lock().then(
      () => told.push('granted'),
      (error: unknown) => told.push(error),
    );
  }
  return told;
}

describe('10,000 who wait and give up in one turn', () => {
  test('are told over many turns when they share a signal, and none gets the lock', async () => {
    const { locker } = timeless();
    const lock = await locker.lock('k');
    const gone = new AbortController();
    const told = inLine(MANY, () => locker.lock('k', { signal: gone.signal }));
    const next = locker.lock('k');
    await turn();
    gone.abort('gone');
    // Whoever has left is out at once, told or not: the lock is for who has not.
    expect((await locker.inspect('k'))?.waiters).toBe(1);
    await lock.release();
    await (await next).release();
    const turns = await perTurn(told);
    expect(Math.max(...turns)).toBeLessThanOrEqual(2 * AT_ONCE);
    expect(told).toEqual(Array(MANY).fill('gone'));
  });

  test('are told over many turns when their limit is one moment', async () => {
    const { clock, locker } = timeless();
    await locker.lock('k', { ttl: 60_000 });
    const told = inLine(MANY, () => locker.lock('k', { wait: 1_000 }));
    await turn();
    const advanced = clock.advance(1_000);
    const turns = await perTurn(told);
    await advanced;
    expect(Math.max(...turns)).toBeLessThanOrEqual(2 * AT_ONCE);
    expect(new Set(told.map((error) => (error as { code: string }).code))).toEqual(
      new Set(['LOCK_NOT_ACQUIRED']),
    );
    await locker.close();
  });

  test('are told over many turns when the locker is closed', async () => {
    const { locker } = timeless();
    await locker.lock('k');
    const told = inLine(MANY, () => locker.lock('k'));
    await turn();
    const closed = locker.close();
    const turns = await perTurn(told);
    await closed;
    expect(Math.max(...turns)).toBeLessThanOrEqual(2 * AT_ONCE);
    expect(told).toHaveLength(MANY);
  });
});

test('a single attempt is answered at once, however many there are', async () => {
  const locker = createLocker();
  await locker.lock('k');
  const answers = Array.from({ length: MANY }, () => locker.tryLock('k'));
  const told: unknown[] = [];
  for (const answer of answers) void answer.then((lock) => told.push(lock));
  await turn();
  expect(told).toEqual(Array(MANY).fill(null));
});
