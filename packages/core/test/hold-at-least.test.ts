import { describe, expect, test } from 'vitest';
import { bench, settled, watch } from './kit.ts';

describe('holdAtLeast', () => {
  test('keeps a lock busy after its release, which returns at once', async () => {
    const { locker, clock, sent } = bench();
    const one = locker();
    const lock = await one.lock('k', { holdAtLeast: 5_000, owner: 'o' });
    await clock.advance(1_000);
    const released = watch(lock.release(), clock);
    await settled();
    expect(released).toMatchObject({ value: true, at: 1_000 });
    expect(lock.state).toBe('released');
    expect(sent('release')).toBe(1);
    const waiter = watch(locker().lock('k'), clock);
    const local = watch(one.lock('k', { owner: 'x' }), clock);
    await clock.advance(3_999);
    expect(await one.tryLock('k')).toBeNull();
    expect(await locker().tryLock('k')).toBeNull();
    // Its owner too comes back too early.
    expect(await locker().tryLock('k', { owner: 'o' })).toBeNull();
    expect([waiter.state, local.state]).toEqual(['pending', 'pending']);
    await clock.advance(1);
    expect(waiter).toMatchObject({ state: 'fulfilled', at: 5_000 });
    await waiter.value?.release();
    await settled();
    expect(local.state).toBe('fulfilled');
  });

  test('lets the store alone keep the key, for longer or shorter than the lease', async () => {
    for (const holdAtLeast of [500, 30_000]) {
      const { locker, clock, free } = bench();
      const one = locker();
      const lock = await one.lock('k', { ttl: 10_000, holdAtLeast });
      await clock.advance(100);
      expect(await lock.release()).toBe(true);
      // As if the process had died now.
      await one.close();
      expect(clock.timers).toBe(0);
      await clock.advance(holdAtLeast - 101);
      expect(await free('k')).toBe(false);
      await clock.advance(1);
      expect(await free('k')).toBe(true);
    }
  });

  test('does nothing to a release that comes later', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock('k', { holdAtLeast: 1_000 });
    await clock.advance(1_000);
    expect(await lock.release()).toBe(true);
    expect(await free('k')).toBe(true);
  });

  test('holds also where withLock ends early, and the next of its process waits', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const runs = Array.from({ length: 3 }, () =>
      watch(
        one.withLock('k', { holdAtLeast: 1_000 }, () => clock.now()),
        clock,
      ),
    );
    await clock.advance(5_000);
    expect(runs.map(({ value }) => value)).toEqual([0, 1_000, 2_000]);
    // None of them waited for the end of its own time.
    expect(runs.map(({ at }) => at)).toEqual([0, 1_000, 2_000]);
  });

  test('holds where its locker is closed', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    await one.lock('taken', { holdAtLeast: 5_000 });
    let finish = (): void => {};
    const run = one.withLock('running', { holdAtLeast: 5_000 }, () => {
      return new Promise<void>((resolve) => (finish = resolve));
    });
    await clock.advance(100);
    await one.close();
    finish();
    await run;
    await clock.advance(4_899);
    expect(await free('taken')).toBe(false);
    expect(await free('running')).toBe(false);
    await clock.advance(1);
    expect(await free('taken')).toBe(true);
    expect(await free('running')).toBe(true);
  });

  test('holds where the lock was lost before its release', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock('k', { ttl: 1_000, maxHold: 100, holdAtLeast: 500 });
    await clock.advance(100);
    expect(lock.state).toBe('lost');
    expect(await lock.release()).toBe(false);
    await clock.advance(399);
    expect(await free('k')).toBe(false);
    await clock.advance(1);
    expect(await free('k')).toBe(true);
  });
});
