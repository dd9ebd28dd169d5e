import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { currentLock, runWithLock, withSignal, type Lock } from '../src/index.ts';
import { bench, hear, settled } from './kit.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Until what is finalized has been told of. */
async function collect(): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await settled();
    gc();
  }
  await settled();
}

function world() {
  const made = bench();
  const one = made.locker();
  const warnings = hear(one, 'warning') as { event: string; code?: string }[];
  return { ...made, one, codes: () => warnings.map(({ code }) => code) };
}

/** Past the first renewals, with all that is garbage collected, and past the ttl. */
async function outlast(clock: { advance(ms: number): Promise<void> }): Promise<void> {
  for (let round = 0; round < 8; round++) {
    await clock.advance(4_000);
    await collect();
  }
}

describe('a lock whose handle nobody has any more', () => {
  test.each([{ key: 'k' }, { key: ['k', 'j'] }])(
    'stops renewing a lock whose handle was collected: $key',
    async ({ key }) => {
      const { one, clock, codes, free } = world();
      await one.lock(key);
      await one.tryLock(['x', 'y']);
      await outlast(clock);
      expect(await free('k')).toBe(true);
      expect(await free('x')).toBe(true);
      // Once for both, and the loss that follows is as asked.
      expect(codes()).toEqual(['HOLDFAST_HANDLE_DROPPED']);
    },
  );

  test('stops renewing a lock that was waited for and whose handle was collected', async () => {
    const { one, locker, clock, codes, free } = world();
    const lock = await locker().lock('k');
    const waiting = one.lock('k').then(() => {});
    await settled();
    await lock.release();
    await waiting;
    await outlast(clock);
    expect(await free('k')).toBe(true);
    expect(codes()).toEqual(['HOLDFAST_HANDLE_DROPPED']);
  });
});

describe('a lock is renewed', () => {
  test('renews a lock while somebody has its handle', async () => {
    const { one, clock, codes } = world();
    const locks = [
      await one.lock('k'),
      await one.lock(['a', 'b']),
      withSignal(await one.lock('c'), AbortSignal.timeout(1e6)),
    ];
    await outlast(clock);
    expect(locks.map(({ state }) => state)).toEqual(['held', 'held', 'held']);
    expect(codes()).toEqual([]);
    for (const lock of locks) await lock.release();
    locks.length = 0;
    await outlast(clock);
    expect(codes()).toEqual([]);
  });

  test('renews a lock while work runs under it', async () => {
    const { one, clock, codes, free } = world();
    let done!: () => void;
    const work = new Promise<void>((resolve) => (done = resolve));
    const running = [
      one.withLock('k', () => work),
      one.tryWithLock(['a', 'b'], () => work),
      one.lock('c').then((lock) =>
        runWithLock(lock, async () => {
          await work;
          // It is what the async context has.
          await currentLock()?.release();
        }),
      ),
    ];
    await outlast(clock);
    for (const key of ['k', 'a', 'b', 'c']) expect(await free(key)).toBe(false);
    done();
    await Promise.all(running);
    for (const key of ['k', 'a', 'b', 'c']) expect(await free(key)).toBe(true);
    expect(codes()).toEqual([]);
  });

  test('keeps the handle the same before and after a renewal', async () => {
    const { one, clock } = world();
    const lock: Lock = await one.lock('k');
    await outlast(clock);
    lock.assertHeld();
    expect(lock.key).toBe('k');
    expect(await lock.release()).toBe(true);
    expect(lock.state).toBe('released');
  });
});
