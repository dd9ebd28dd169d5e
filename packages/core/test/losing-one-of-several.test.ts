import { describe, expect, test } from 'vitest';
import { bench, hear } from './kit.ts';

describe('losing one key', () => {
  test('loses the lock, once, and lets the others go', async () => {
    const { locker, clock, faults, free } = bench();
    const one = locker({ ttl: 1_000 });
    const heard = hear(one, 'lost', 'released');
    const told: unknown[] = [];
    const lock = await one.lock(['c', 'a', 'b'], { onLost: (error) => told.push(error) });
    await clock.advance(10);
    expect(await faults.evict('b')).toBe(true);
    await clock.advance(400);
    expect(lock.state).toBe('lost');
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted', code: 'LOCK_LOST' });
    expect(told).toEqual([lock.signal.reason]);
    expect(heard).toHaveLength(1);
    expect(heard[0]).toMatchObject({ event: 'lost', keys: ['c', 'a', 'b'], key: 'c' });
    for (const key of lock.keys) expect(await free(key)).toBe(true);
    expect(await lock.release()).toBe(false);
  });

  test('loses the whole lock when an operator or its owner takes one key', async () => {
    const { locker, free } = bench();
    const forced = await locker().lock(['a', 'b']);
    expect(await locker().forceRelease('b')).toBe(true);
    expect(forced.signal.reason).toMatchObject({ reason: 'forced' });
    expect(await free('a')).toBe(true);
    const older = await locker().lock(['a', 'b'], { owner: 'o' });
    const newer = await locker().lock('b', { owner: 'o' });
    expect(older.signal.reason).toMatchObject({ reason: 'superseded' });
    expect(newer.state).toBe('held');
    expect(newer.fencingToken).toBeGreaterThan(older.tokenFor('b'));
    expect(await free('a')).toBe(true);
    expect(await older.release()).toBe(false);
    expect(newer.state).toBe('held');
    expect(await free('b')).toBe(false);
  });

  test('notices to the millisecond when one key runs out', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock(['a', 'b'], { ttl: 1_000, renew: false });
    expect(lock.remaining).toBe(900);
    await clock.advance(899);
    lock.assertHeld();
    await clock.advance(1);
    expect(lock.state).toBe('lost');
    expect(() => lock.assertHeld()).toThrow(/lost/);
    expect(await lock.release()).toBe(false);
    expect(await free('a')).toBe(true);
  });
});

describe('options of a lock', () => {
  test('hold for all of its keys', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock(['a', 'b'], { ttl: 1_000, maxHold: 2_500, owner: 'o' });
    expect(lock.owner).toBe('o');
    await clock.advance(2_499);
    expect(lock.state).toBe('held');
    await clock.advance(1);
    expect(lock.signal.reason).toMatchObject({ reason: 'max-hold' });
    // What is left of the leases is the holder's grace.
    expect(await free('a')).toBe(false);
    expect(await free('b')).toBe(false);
    expect(await lock.release()).toBe(false);
    expect(await free('a')).toBe(true);
    expect(await free('b')).toBe(true);
  });

  test('holdAtLeast keeps all of them', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock(['a', 'b'], { holdAtLeast: 500 });
    await clock.advance(100);
    expect(await lock.release()).toBe(true);
    await clock.advance(399);
    expect(await free('a')).toBe(false);
    expect(await free('b')).toBe(false);
    await clock.advance(1);
    expect(await free('a')).toBe(true);
    expect(await free('b')).toBe(true);
  });

  test('extend prolongs all of them', async () => {
    const { locker, clock, free } = bench();
    const lock = await locker().lock(['a', 'b'], { ttl: 1_000, renew: false });
    await clock.advance(500);
    await lock.extend(2_000);
    expect(lock.remaining).toBe(1_800);
    await clock.advance(1_799);
    lock.assertHeld();
    expect(await free('a')).toBe(false);
    expect(await free('b')).toBe(false);
  });
});
