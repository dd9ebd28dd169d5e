import { createLocker, LockArgumentError, memoryStore } from '@holdfast/core';
import { seededRandom, virtualClock } from '@holdfast/testing';
import { afterEach, describe, expect, test, vi } from 'vitest';

describe('a virtual clock', () => {
  test('stands still until it is advanced', async () => {
    const clock = virtualClock();
    const [now, wall, boot] = [clock.now(), clock.wallNow(), clock.bootNow?.() ?? NaN];
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
    expect([clock.now(), clock.wallNow(), clock.bootNow?.()]).toEqual([now, wall, boot]);
    await clock.advance(1_500.5);
    expect(clock.now() - now).toBe(1_500.5);
    expect(clock.wallNow() - wall).toBe(1_500.5);
    expect(clock.bootNow!() - boot).toBe(1_500.5);
    expect(new Date(wall).getUTCFullYear()).toBe(2026);
  });

  test.each([NaN, Infinity, -1, '5', null, undefined] as number[])(
    'refuses what is no time (%s)',
    async (ms) => {
      const clock = virtualClock();
      const times = () => [clock.now(), clock.wallNow(), clock.bootNow?.()];
      const before = times();
      await expect(clock.advance(ms)).rejects.toThrow(LockArgumentError);
      expect(() => clock.suspend(ms)).toThrow(LockArgumentError);
      expect(times()).toEqual(before);
    },
  );

  test('sets the wall clock back, but to no time that is none', () => {
    const clock = virtualClock();
    const wall = clock.wallNow();
    clock.stepWall(-1);
    expect(() => clock.stepWall(NaN)).toThrow(LockArgumentError);
    expect(clock.wallNow()).toBe(wall - 1);
  });

  test('runs timers when they come due, in the order of their times, then of their making', async () => {
    const clock = virtualClock();
    const ran: string[] = [];
    const at = (ms: number, name: string): void => {
      clock.setTimeout(() => ran.push(`${name} ${clock.now()}`), ms);
    };
    at(30, 'c');
    at(10, 'a');
    at(30, 'd');
    at(20, 'b');
    at(31, 'e');
    await clock.advance(9);
    expect(ran).toEqual([]);
    await clock.advance(21);
    expect(ran).toEqual(['a 10', 'b 20', 'c 30', 'd 30']);
    expect(clock.timers).toBe(1);
  });

  test('runs all that follows from a timer before the next one', async () => {
    const clock = virtualClock();
    const ran: string[] = [];
    clock.setTimeout(() => {
      ran.push('first');
      void Promise.resolve()
        .then(() => Promise.resolve())
        .then(() => ran.push('what follows'));
    }, 10);
    clock.setTimeout(() => ran.push('second'), 10);
    await clock.advance(10);
    expect(ran).toEqual(['first', 'what follows', 'second']);
  });

  test('runs timers that timers set, within the time that passes', async () => {
    const clock = virtualClock();
    const ran: number[] = [];
    const again = (): void => {
      ran.push(clock.now());
      clock.setTimeout(again, 10);
    };
    clock.setTimeout(again, 10);
    await clock.advance(35);
    expect(ran).toEqual([10, 20, 30]);
    expect(clock.now()).toBe(35);
  });

  test('takes at least a millisecond for a timer, as Node does', async () => {
    const clock = virtualClock();
    const ran: number[] = [];
    for (const ms of [0, -5, 0.2]) clock.setTimeout(() => ran.push(clock.now()), ms);
    await clock.advance(0);
    expect(ran).toEqual([]);
    await clock.advance(1);
    expect(ran).toEqual([1, 1, 1]);
  });

  test('forgets a timer that was cleared, also by one that comes due with it', async () => {
    const clock = virtualClock();
    const ran: string[] = [];
    const gone = clock.setTimeout(() => ran.push('gone'), 10);
    clock.setTimeout(() => clock.clearTimeout(late), 20);
    const late = clock.setTimeout(() => ran.push('late'), 20);
    clock.clearTimeout(gone);
    clock.clearTimeout(gone);
    expect(clock.timers).toBe(2);
    await clock.advance(100);
    expect(ran).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  test('may be advanced from several places: time never goes back', async () => {
    const clock = virtualClock();
    const ran: number[] = [];
    for (const ms of [5, 50, 500]) clock.setTimeout(() => ran.push(clock.now()), ms);
    await Promise.all([clock.advance(1_000), clock.advance(10), clock.advance(100)]);
    expect(ran).toEqual([5, 50, 500]);
    expect(clock.now()).toBe(1_000);
  });

  test('has a wall clock that may be set, which does not move time', async () => {
    const clock = virtualClock();
    const wall = clock.wallNow();
    const boot = clock.bootNow!();
    clock.stepWall(3_600_000);
    clock.stepWall(-600_000);
    expect(clock.wallNow() - wall).toBe(3_000_000);
    expect([clock.now(), clock.bootNow!()]).toEqual([0, boot]);
  });

  test('may be suspended: the wall and the boot clock go on', async () => {
    const clock = virtualClock();
    const ran: number[] = [];
    clock.setTimeout(() => ran.push(clock.now()), 10);
    const wall = clock.wallNow();
    const boot = clock.bootNow!();
    clock.suspend(60_000);
    expect(clock.now()).toBe(0);
    expect(clock.wallNow() - wall).toBe(60_000);
    expect(clock.bootNow!() - boot).toBe(60_000);
    await clock.advance(9);
    expect(ran).toEqual([]);
    await clock.advance(1);
    expect(ran).toEqual([10]);
  });

  test('brings chance with a seed: the same for the same seed', () => {
    expect(virtualClock().random?.()).toBeUndefined();
    const numbers = (seed: number): number[] => {
      const clock = virtualClock({ seed });
      return Array.from({ length: 20 }, () => clock.random!());
    };
    expect(numbers(7)).toEqual(numbers(7));
    expect(numbers(7)).not.toEqual(numbers(8));
    for (const number of numbers(9)) {
      expect(number).toBeGreaterThanOrEqual(0);
      expect(number).toBeLessThan(1);
    }
    const random = seededRandom(3);
    const many = Array.from({ length: 10_000 }, () => random());
    const mean = many.reduce((sum, one) => sum + one, 0) / many.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.02);
  });
});

describe('a locker on a virtual clock', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test('holds for days without any time passing', async () => {
    const clock = virtualClock();
    const locker = createLocker({ clock, store: memoryStore({ clock }) });
    const kept = await locker.lock('kept');
    const left = await locker.lock('left', { renew: false });
    await clock.advance(3 * 86_400_000);
    expect([kept.state, left.state]).toEqual(['held', 'lost']);
    expect(left.signal.reason).toMatchObject({ reason: 'expired', heldFor: 9_000 });
  });

  test('goes on where a test runner has replaced the timers', async () => {
    vi.useFakeTimers();
    const clock = virtualClock();
    const locker = createLocker({ clock, store: memoryStore({ clock }) });
    const lock = await locker.lock('k', { renew: false });
    await clock.advance(9_000);
    expect(lock.state).toBe('lost');
  });
});
