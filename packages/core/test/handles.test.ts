import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { createLocker, LockReleasedError, type Key } from '../src/index.ts';
import { bench, rejection, settled, watch } from './kit.ts';

/** Not every promise is one of the language's own. */
function thenable(
  settle: (fulfil: (value: number) => void, reject: (error: Error) => void) => void,
): PromiseLike<number> {
  const made = {};
  Reflect.set(made, 'then', settle);
  return made as PromiseLike<number>;
}

const kinds: { what: string; key: Key }[] = [
  { what: 'one key', key: 'a' },
  { what: 'several keys', key: ['a', 'b'] },
];

describe.each(kinds)('the handle of $what', ({ key }) => {
  test('prints how it stands without its keys, and logs as JSON who holds what', async () => {
    const { locker } = bench();
    const lock = await locker({ label: 'host:1' }).lock(key, { owner: 'task-7' });
    const logged = JSON.parse(JSON.stringify({ lock })) as { lock: Record<string, unknown> };
    expect(logged.lock).toMatchObject({ keys: lock.keys, owner: 'task-7', state: 'held' });
    const token = typeof key === 'string' ? 'fencingToken: 1' : 'fencingTokens: [ 1, 130 ]';
    const shown = `Lock { state: 'held', ${token}, remaining: 9000, label: 'host:1' }`;
    expect(inspect(lock, { breakLength: Infinity })).toBe(shown);
    expect(inspect({ deep: { deeper: { lock } } }, { depth: 1 })).toContain('[Object]');
    await lock.release();
    expect(inspect(lock)).toContain('released');
  });

  test('releases at the end of its scope, even when that throws', async () => {
    const { locker, free } = bench();
    const work = async (): Promise<void> => {
      await using lock = await locker().lock(key);
      lock.assertHeld();
      throw new Error('mine');
    };
    expect(await rejection(work())).toMatchObject({ message: 'mine' });
    expect(await free('a')).toBe(true);
  });

  test('tells of a second abort nothing', async () => {
    const { locker } = bench();
    const controller = new AbortController();
    const lock = await locker().lock(key, { signal: controller.signal });
    const reasons: unknown[] = [];
    lock.signal.addEventListener('abort', () => reasons.push(lock.signal.reason));
    controller.abort('first');
    controller.abort('second');
    await lock.release();
    expect(reasons).toEqual(['first']);
  });

  test('released and lost at once is released', async () => {
    const { locker, clock, faults, free } = bench();
    const lock = await locker().lock(key, { ttl: 1_000 });
    faults.delay(600, { verb: 'release', times: Infinity });
    const released = watch(lock.release(), clock);
    expect(await locker().forceRelease('a')).toBe(true);
    await clock.advance(1_000);
    expect(released).toMatchObject({ state: 'fulfilled', value: false });
    expect(lock.state).toBe('released');
    expect(lock.signal.reason).toBeInstanceOf(LockReleasedError);
    expect(await free('a')).toBe(true);
  });

  test('leaves other handles alone when one of them is aborted', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const controller = new AbortController();
    const { signal } = controller;
    const first = await one.lock(key, { signal });
    const next = watch(one.lock(key, { signal }), clock);
    // Whoever hears of the abort first releases; the one who gets the lock then has aborted too.
    first.signal.addEventListener('abort', () => void first.release());
    controller.abort('x');
    await settled();
    expect(next.value?.signal.reason ?? next.reason).toBe('x');
    await next.value?.release();
    expect((await one.tryLock(key))?.state).toBe('held');
  });
});

describe('withLock', () => {
  test('takes work of any kind, and settles as it does', async () => {
    const locker = createLocker();
    const mine = new Error('mine');
    expect(await locker.withLock('k', () => undefined)).toBeUndefined();
    expect(await locker.withLock('k', () => thenable((ok) => ok(42)))).toBe(42);
    const failing = [
      () => thenable((_, no) => no(mine)),
      () => Promise.reject(mine),
      () =>
        thenable(() => {
          throw mine;
        }),
      () => {
        throw mine;
      },
    ];
    for (const work of failing) {
      expect(await rejection(locker.withLock('k', work))).toBe(mine);
      expect(await rejection(locker.withLock(['k', 'j'], {}, work))).toBe(mine);
      expect(await rejection(locker.tryWithLock('k', work))).toBe(mine);
    }
    expect(await locker.inspect('k')).toBeNull();
  });

  test('does not mind that its work released the lock itself', async () => {
    const locker = createLocker();
    const value = await locker.withLock('k', async (lock) => {
      expect(await lock.release()).toBe(true);
      return 'done';
    });
    expect(value).toBe('done');
    expect((await locker.tryLock('k'))?.state).toBe('held');
  });

  test('never runs its work when the lock is not granted', async () => {
    const { locker } = bench();
    await locker().lock('k');
    let runs = 0;
    const work = (): void => void (runs += 1);
    const signal = AbortSignal.abort('x');
    await rejection(locker().withLock('k', { wait: 0 }, work));
    await rejection(locker().withLock('k', { signal }, work));
    await rejection(locker().withLock('', work));
    await locker().tryWithLock('k', work);
    expect(runs).toBe(0);
  });
});
