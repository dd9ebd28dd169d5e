import { describe, expect, test } from 'vitest';
import { LockLostError, type Lock } from '../src/index.ts';
import { bench, hear, settled, variant, watch } from './kit.ts';

describe('an explicit owner', () => {
  const where = { 'of another locker': false, 'of the same locker': true };
  for (const [name, same] of Object.entries(where)) {
    test(`takes its own lock over at once from the older handle ${name}`, async () => {
      const { locker, clock, free } = bench();
      const one = locker();
      const lost: LockLostError[] = [];
      const older = await one.lock('k', { owner: 'o', onLost: (error) => lost.push(error) });
      await clock.advance(100);
      const newer = await (same ? one : locker()).lock('k', { owner: 'o' });
      // On memory it is told before the new handle is returned.
      expect(older.signal.aborted).toBe(true);
      expect(older.signal.reason).toBeInstanceOf(LockLostError);
      expect(older.signal.reason).toMatchObject({ reason: 'superseded', key: 'k', heldFor: 100 });
      expect(lost).toEqual([older.signal.reason]);
      expect(older.state).toBe('lost');
      expect(() => older.assertHeld()).toThrow(LockLostError);
      expect(clock.now()).toBe(100);
      expect(newer.fencingToken).toBeGreaterThan(older.fencingToken);
      expect([older.owner, newer.owner]).toEqual(['o', 'o']);
      expect(await older.release()).toBe(false);
      expect(newer.state).toBe('held');
      expect(await free('k')).toBe(false);
      await clock.advance(60_000);
      newer.assertHeld();
      expect(await newer.release()).toBe(true);
      expect(await free('k')).toBe(true);
    });
  }

  test('takes its own lock over by every way of asking', async () => {
    const { locker } = bench();
    let last = await locker().lock('k', { owner: 'o' });
    const superseded = (lock: Lock): void => {
      expect(last.signal.reason).toMatchObject({ reason: 'superseded' });
      expect(lock.fencingToken).toBeGreaterThan(last.fencingToken);
      last = lock;
    };
    superseded((await locker().tryLock('k', { owner: 'o' }))!);
    superseded(await locker().lock('k', { owner: 'o', wait: 0 }));
    superseded(await locker().lock('k', { owner: 'o', wait: 10 }));
    await locker().withLock('k', { owner: 'o' }, async (lock) => {
      superseded(lock);
      superseded((await locker().tryLock('k', { owner: 'o' }))!);
    });
    expect(last.state).toBe('held');
    const outcome = await locker().tryWithLock('k', { owner: 'o' }, superseded);
    expect(outcome.acquired).toBe(true);
  });

  test('goes past any queue, of its own process and of others', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const older = await one.lock('k', { owner: 'o' });
    const waiters = [one, one, locker(), locker()].map((from) => watch(from.lock('k'), clock));
    await clock.advance(1_000);
    const newer = await one.lock('k', { owner: 'o' });
    const newest = await locker().lock('k', { owner: 'o' });
    await clock.advance(1_000);
    expect([older.state, newer.state, newest.state]).toEqual(['lost', 'lost', 'held']);
    expect(waiters.map(({ state }) => state)).toEqual(waiters.map(() => 'pending'));
    await newest.release();
    await settled();
    expect(waiters.map(({ state }) => state)).toContain('fulfilled');
  });

  test('waits in line like anybody else for what is not its own', async () => {
    const { locker, clock } = bench();
    const holder = await locker().lock('k');
    const first = watch(locker().lock('k'), clock);
    await clock.advance(10);
    const owner = watch(locker().lock('k', { owner: 'o' }), clock);
    await clock.advance(10);
    expect(await locker().tryLock('k', { owner: 'o' })).toBeNull();
    await holder.release();
    await settled();
    expect([first.state, owner.state]).toEqual(['fulfilled', 'pending']);
    await first.value?.release();
    await settled();
    expect(owner.state).toBe('fulfilled');
  });

  test('resumes without waiting for its own lease after a crash', async () => {
    const { locker, clock } = bench();
    // Its process is gone: nobody renews or releases.
    await locker({ name: 'crashed' }).lock('k', { owner: 'worker-7', ttl: 60_000, renew: false });
    const other = watch(locker().lock('k'), clock);
    await clock.advance(50);
    const again = watch(locker().lock('k', { owner: 'worker-7' }), clock);
    await settled();
    expect(again.state).toBe('fulfilled');
    expect(other.state).toBe('pending');
  });

  test('keeps other owners, and callers without one, out', async () => {
    const { locker } = bench();
    await locker({ label: 'me' }).lock('k', { owner: 'o' });
    expect(await locker({ label: 'me' }).tryLock('k')).toBeNull();
    expect(await locker({ label: 'me' }).tryLock('k', { owner: 'O' })).toBeNull();
    expect(await locker({ label: 'me' }).tryLock('k', { owner: 'o ' })).toBeNull();
    const info = await locker().inspect('k');
    expect(info).toMatchObject({ key: 'k', owner: 'o', label: 'me' });
  });

  test('may be any text', async () => {
    const { locker } = bench();
    for (const owner of [' ', '0', '\0', '\ud800', '{}', 'é'.repeat(512), '_', '__']) {
      const older = await locker().lock('k', { owner });
      const newer = await locker().lock('k', { owner });
      expect([older.state, newer.state, newer.owner]).toEqual(['lost', 'held', owner]);
      await newer.release();
    }
  });

  test('takes over several keys', async () => {
    const { locker } = bench();
    const one = locker();
    const older = await one.lock(['a', 'b'], { owner: 'o' });
    const newer = await one.lock(['a', 'b'], { owner: 'o' });
    expect(older.signal.reason).toMatchObject({ reason: 'superseded' });
    expect(newer.state).toBe('held');
    for (const key of ['a', 'b']) {
      expect(newer.tokenFor(key)).toBeGreaterThan(older.tokenFor(key));
    }
    expect(await older.release()).toBe(false);
    newer.assertHeld();
    expect(await newer.release()).toBe(true);
  });

  test('takes over several keys at once that others wait for, or that are to be held for a while', async () => {
    const { locker, clock, free } = bench();
    const [one, other] = [locker(), locker()];
    for (const again of [one, locker()]) {
      const older = await one.lock(['a', 'b', 'c'], { owner: 'o', holdAtLeast: 60_000 });
      const waiter = watch(other.lock('b'));
      await settled();
      const newer = await again.tryLock(['a', 'b', 'c'], { owner: 'o' });
      expect(newer?.state).toBe('held');
      expect(older.signal.reason).toMatchObject({ reason: 'superseded' });
      await clock.advance(1_000);
      expect([newer?.state, waiter.state]).toEqual(['held', 'pending']);
      await newer?.release();
      await clock.advance(10);
      expect(waiter.state).toBe('fulfilled');
      await waiter.value?.release();
    }
    // Also where the older handle is released as soon as it is lost, on a store that answers later.
    const slow = bench((store) =>
      variant(store, {
        acquire: async (request) => {
          await settled();
          return store.acquire(request);
        },
      }),
    );
    const slowly = slow.locker();
    const keys = ['a', 'b', 'c', 'd'];
    const first = await slowly.lock(keys, { owner: 'o', holdAtLeast: 60_000 });
    first.signal.addEventListener('abort', () => void first.release());
    const second = await slowly.tryLock(keys, { owner: 'o' });
    expect([first.state, second?.state]).toEqual(['lost', 'held']);
    const third = await slowly.tryLock(['a', 'b'], { owner: 'o' });
    await slow.clock.advance(1_000);
    expect([second?.state, third?.state]).toEqual(['lost', 'held']);
    expect([await slow.free('c'), await slow.free('d')]).toEqual([true, true]);
    // What its owner does not take over is let go all the same.
    const older = await one.lock(['a', 'b'], { owner: 'o' });
    await locker().lock('a', { owner: 'o' });
    await settled();
    expect([older.state, await free('b')]).toEqual(['lost', true]);
  });

  test('has the loss told as an event, with its reason', async () => {
    const { locker } = bench();
    const one = locker({ name: 'one' });
    const heard = hear(one, 'lost', 'released');
    await one.lock('k', { owner: 'o' });
    await locker().lock('k', { owner: 'o' });
    expect(heard).toMatchObject([
      { event: 'lost', reason: 'superseded', key: 'k', owner: 'o', locker: 'one' },
    ]);
  });
});

describe('without an owner', () => {
  test('every acquisition has one of its own', async () => {
    const { locker } = bench();
    const one = locker();
    const owners = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const lock = await one.lock('k');
      owners.add(lock.owner);
      await lock.release();
    }
    for (let i = 0; i < 10; i++) owners.add((await locker().lock(`k${i}`)).owner);
    expect(owners.size).toBe(110);
    expect(owners.has('')).toBe(false);
  });

  test('every waiter gets an owner of its own when the lock is handed over within the process', async () => {
    const { locker } = bench();
    const one = locker();
    const owners = new Set<string>();
    await Promise.all(
      Array.from({ length: 50 }, () => one.withLock('k', ({ owner }) => void owners.add(owner))),
    );
    expect(owners.size).toBe(50);
  });

  test('nobody is superseded, and lockers of one process contend', async () => {
    const { locker } = bench();
    const lock = await locker().lock('k');
    expect(await locker().tryLock('k')).toBeNull();
    expect(await locker().tryLock('k', { owner: 'o' })).toBeNull();
    expect(lock.state).toBe('held');
  });
});
