import { describe, expect, test } from 'vitest';
import { LockArgumentError, LockConflictError, type Lock } from '../src/index.ts';
import { bench, hear, rejection, settled, variant, watch } from './kit.ts';

/** In the order in which they were granted. */
function order(...wishes: [name: string, wish: Promise<Lock>][]): string[] {
  const granted: string[] = [];
  for (const [name, wish] of wishes) wish.then(() => granted.push(name)).catch(() => {});
  return granted;
}

describe('a lock with a limit', () => {
  test('is held by as many as the limit says, each with a token of its own', async () => {
    const { locker } = bench();
    const one = locker();
    const held = [
      await one.lock('k', { limit: 3 }),
      await one.lock('k', { limit: 3 }),
      await locker().lock('k', { limit: 3 }),
    ];
    expect(await one.tryLock('k', { limit: 3 })).toBeNull();
    expect(await locker().tryLock('k', { limit: 3 })).toBeNull();
    const tokens = held.map((lock) => lock.fencingToken);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(3);
    await held[1]?.release();
    expect(await locker().tryLock('k', { limit: 3 })).not.toBeNull();
  });

  test('lets the next in when a permit is released, in the order of asking', async () => {
    const { locker } = bench();
    const [one, other] = [locker(), locker()];
    const first = await one.lock('k', { limit: 2 });
    const second = await other.lock('k', { limit: 2 });
    const third = one.lock('k', { limit: 2 });
    const fourth = other.lock('k', { limit: 2 });
    const granted = order(['third', third], ['fourth', fourth]);
    await settled();
    expect(granted).toEqual([]);
    await second.release();
    await third;
    await settled();
    expect(granted).toEqual(['third']);
    await first.release();
    await fourth;
    expect(granted).toEqual(['third', 'fourth']);
  });

  test('lets the next in when the lease of a permit runs out', async () => {
    const { locker, clock } = bench();
    await locker().lock('k', { limit: 2, ttl: 1_000, renew: false });
    await locker().lock('k', { limit: 2, ttl: 60_000 });
    const next = watch(locker().lock('k', { limit: 2 }));
    await clock.advance(900);
    expect(next.state).toBe('pending');
    await clock.advance(800);
    expect(next.state).toBe('fulfilled');
  });

  test('keeps those behind a heavy one waiting until that one is served', async () => {
    const { locker } = bench();
    const [one, other] = [locker(), locker()];
    const first = await one.lock('k', { limit: 3 });
    const second = await one.lock('k', { limit: 3 });
    const heavy = other.lock('k', { limit: 3, weight: 3 });
    await settled();
    const light = locker().lock('k', { limit: 3 });
    const granted = order(['heavy', heavy], ['light', light]);
    expect(await locker().tryLock('k', { limit: 3 })).toBeNull();
    await first.release();
    await settled();
    expect(granted).toEqual([]);
    await second.release();
    await (await heavy).release();
    await light;
    expect(granted).toEqual(['heavy', 'light']);
  });

  test('serves all who fit when a heavy one leaves', async () => {
    const { locker } = bench();
    const one = locker();
    const heavy = await one.lock('k', { limit: 100, weight: 100 });
    const waiting = Array.from({ length: 500 }, () => watch(one.lock('k', { limit: 100 })));
    await settled();
    await heavy.release();
    await settled();
    const held = waiting.filter(({ state }) => state === 'fulfilled');
    expect(held.length).toBe(100);
    expect(waiting.indexOf(held.at(-1) as (typeof waiting)[0])).toBe(99);
  });

  test('serves a thousand waiters of one process, a few at a time and in order', async () => {
    const { locker } = bench();
    const one = locker();
    let inside = 0;
    let most = 0;
    const served: number[] = [];
    const all = Array.from({ length: 1_000 }, (_, index) =>
      one.withLock('k', { limit: 5 }, async () => {
        inside += 1;
        most = Math.max(most, inside);
        served.push(index);
        await Promise.resolve();
        inside -= 1;
      }),
    );
    await Promise.all(all);
    expect(most).toBe(5);
    expect(served).toEqual(served.toSorted((a, b) => a - b));
  });

  test('is free for any limit when the last has left', async () => {
    const { locker, free } = bench();
    const first = await locker().lock('k', { limit: 2 });
    const second = await locker().lock('k', { limit: 2 });
    await first.release();
    expect(await rejection(locker().lock('k', { limit: 5 }))).toBeInstanceOf(LockConflictError);
    await second.release();
    expect(await free('k')).toBe(true);
    await locker().lock('k', { limit: 5 });
  });

  test.each([
    ['by one process', true],
    ['by two processes', false],
  ])('is refused to those who say another limit, with both, when asked %s', async (_, same) => {
    const { locker } = bench();
    const one = locker();
    const other = same ? one : locker();
    await one.lock('k', { limit: 3 });
    for (const ask of [
      () => other.lock('k', { limit: 5 }),
      () => other.tryLock('k', { limit: 5 }),
    ]) {
      const error = (await rejection(ask())) as LockConflictError;
      expect(error).toBeInstanceOf(LockConflictError);
      expect([error.code, error.limit, error.currentLimit]).toEqual(['LOCK_CONFLICT', 5, 3]);
      expect(error.message).toContain('3');
      expect(error.message).toContain('5');
    }
    const alone = (await rejection(other.tryLock('k'))) as LockConflictError;
    expect([alone.limit, alone.currentLimit]).toEqual([1, 3]);
    const several = (await rejection(other.lock('k'))) as LockConflictError;
    expect([several.limit, several.currentLimit]).toEqual([1, 3]);
  });

  test('is refused where one holds the lock alone', async () => {
    const { locker } = bench();
    const one = locker();
    await one.lock('k');
    for (const other of [one, locker()]) {
      const error = (await rejection(other.lock('k', { limit: 3 }))) as LockConflictError;
      expect([error.limit, error.currentLimit]).toEqual([3, 1]);
    }
  });

  test('tells of a conflict by an event', async () => {
    const { locker } = bench();
    await locker().lock('k', { limit: 3 });
    const one = locker();
    const heard = hear(one, 'not-acquired');
    await rejection(one.lock('k', { limit: 2 }));
    await settled();
    expect(heard).toMatchObject([{ event: 'not-acquired', key: 'k', reason: 'conflict' }]);
  });

  test('takes a limit of 1 for a lock that is held alone', async () => {
    const { locker, requests } = bench();
    await locker().lock('k', { limit: 1 });
    expect(await locker().tryLock('k')).toBeNull();
    expect(requests[0]?.args[0]).toMatchObject({ sharing: undefined });
  });

  test('keeps the room of a permit for as long as `holdAtLeast` says', async () => {
    const { locker, clock } = bench();
    const first = await locker().lock('k', { limit: 2, holdAtLeast: 3_000 });
    await locker().lock('k', { limit: 2, ttl: 60_000 });
    expect(await first.release()).toBe(true);
    expect(await locker().tryLock('k', { limit: 2 })).toBeNull();
    await clock.advance(3_001);
    expect(await locker().tryLock('k', { limit: 2 })).not.toBeNull();
  });

  test('lets an owner take its own permit over, past those who wait', async () => {
    const { locker } = bench();
    const lost: string[] = [];
    const first = await locker().lock('k', {
      limit: 2,
      owner: 'job',
      onLost: ({ reason }) => lost.push(reason),
    });
    await locker().lock('k', { limit: 2 });
    const waiting = watch(locker().lock('k', { limit: 2 }));
    await settled();
    const second = await locker().lock('k', { limit: 2, owner: 'job' });
    await settled();
    expect([first.state, second.state, waiting.state]).toEqual(['lost', 'held', 'pending']);
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
    expect(lost).toEqual(['superseded']);
  });

  test('renews each permit, and none is lost while its process lives', async () => {
    const { locker, clock } = bench();
    const one = locker({ ttl: 3_000 });
    const held = await Promise.all([1, 2, 3].map(() => one.lock('k', { limit: 3 })));
    await clock.advance(20_000);
    expect(held.map(({ state }) => state)).toEqual(['held', 'held', 'held']);
    expect(await locker().tryLock('k', { limit: 3 })).toBeNull();
  });

  test('gives back what was asked for by one who has left', async () => {
    const { locker, memory, clock } = bench();
    const one = locker();
    const held = await locker().lock('k', { limit: 2, weight: 2 });
    const gone = new AbortController();
    const waiting = rejection(one.lock('k', { limit: 2, signal: gone.signal }));
    await settled();
    gone.abort(new Error('gone'));
    await waiting;
    await held.release();
    await clock.advance(2_000);
    expect(await memory.inspect({ key: 'k', client: '' })).toBeNull();
    await locker().lock('k', { limit: 7 });
  });
});

describe('a list of keys with limits', () => {
  test('takes a permit of each, with a limit for each', async () => {
    const { locker } = bench();
    const one = locker();
    const take = (tenant: string) => one.tryLock([`tenant:${tenant}`, 'total'], { limit: [2, 3] });
    expect(await take('a')).not.toBeNull();
    expect(await take('a')).not.toBeNull();
    expect(await take('a')).toBeNull();
    const last = await take('b');
    expect(last).not.toBeNull();
    expect(await take('b')).toBeNull();
    expect(last?.tokenFor('total')).toBeGreaterThan(0);
    await last?.release();
    expect(await take('b')).not.toBeNull();
  });

  test('waits for the smaller limit before it takes of the larger, whatever the keys are called', async () => {
    const { locker } = bench();
    const one = locker();
    const keys = (tenant: string) => ['exports', `tenant:${tenant}`];
    const first = await one.lock(keys('a'), { limit: [2, 1] });
    const second = watch(one.lock(keys('a'), { limit: [2, 1] }));
    await settled();
    expect(second.state).toBe('pending');
    expect(await one.tryLock(keys('b'), { limit: [2, 1] })).not.toBeNull();
    await first.release();
    await settled();
    expect(second.state).toBe('fulfilled');
  });

  test('takes one limit for all keys', async () => {
    const { locker } = bench();
    const one = locker();
    await one.lock(['a', 'b'], { limit: 2 });
    await one.lock(['b', 'a'], { limit: 2 });
    expect(await one.tryLock(['b', 'c'], { limit: 2 })).toBeNull();
    expect(await one.tryLock(['c', 'd'], { limit: 2 })).not.toBeNull();
  });

  test.each([
    ['too few limits', ['a', 'b'], { limit: [2] }],
    ['a list of limits for one key', 'a', { limit: [2, 3] }],
    ['different limits for one key', ['a', 'a'], { limit: [2, 3] }],
    // oxlint-disable-next-line no-sparse-arrays -- as JavaScript has them
    ['a limit that is missing', ['a', 'b'], { limit: [, 2] as number[] }],
    ['a weight above one of the limits', ['a', 'b'], { limit: [2, 5], weight: 3 }],
  ])('is refused with %s', async (_, keys, options) => {
    const { locker, sent } = bench();
    expect(await rejection(locker().lock(keys, options))).toBeInstanceOf(LockArgumentError);
    expect(sent()).toBe(0);
  });
});

describe('arguments', () => {
  test.each([
    ['a limit of 0', { limit: 0 }],
    ['a limit that is no whole number', { limit: 1.5 }],
    ['an infinite limit', { limit: Infinity }],
    ['a limit that is null', { limit: null as never }],
    ['a weight of 0', { weight: 0 }],
    ['a weight above the limit', { limit: 3, weight: 4 }],
    ['a weight without a limit', { weight: 2 }],
    ['a limit for readers', { limit: 2, shared: true }],
    ['a `shared` that is no boolean', { shared: 1 as never }],
  ])('%s is refused before any request', async (_, options) => {
    const { locker, sent } = bench();
    const one = locker();
    expect(await rejection(one.lock('k', options))).toBeInstanceOf(LockArgumentError);
    expect(await rejection(one.tryLock('k', options))).toBeInstanceOf(LockArgumentError);
    expect(sent()).toBe(0);
  });

  test.each([
    ['a limit', { limit: 2 }],
    ['readers', { shared: true }],
  ])('a store that cannot let several hold refuses %s', async (_, options) => {
    const { locker, sent } = bench((store) =>
      variant(store, { capabilities: { ...store.capabilities, permits: undefined } }),
    );
    const one = locker();
    expect(await rejection(one.lock('k', options))).toBeInstanceOf(LockArgumentError);
    const forced = one.forceRelease('k', { owner: 'o' });
    expect(await rejection(forced)).toBeInstanceOf(LockArgumentError);
    expect(sent()).toBe(0);
    await one.lock('k', { limit: 1, shared: false, weight: 1 });
  });
});

describe('operators', () => {
  test('see all who hold a permit, and who waits', async () => {
    const { locker } = bench();
    const one = locker({ label: 'one' });
    const first = await one.lock('k', { limit: 2, owner: 'x' });
    const second = await one.lock('k', { limit: 2, label: 'two' });
    void one.lock('k', { limit: 2 }).catch(() => {});
    await settled();
    const info = await one.inspect('k');
    const holders = [
      { owner: 'x', label: 'one', fencingToken: first.fencingToken },
      { owner: second.owner, label: 'two', fencingToken: second.fencingToken },
    ];
    expect(info).toMatchObject({ key: 'k', owner: 'x', waiters: 1, holders });
    const { locks } = await one.list();
    expect(locks).toMatchObject([{ key: 'k', holders }]);
  });

  test('end the permit of one holder, or of all', async () => {
    const { locker } = bench();
    const [one, other] = [locker(), locker()];
    const lost: string[] = [];
    const onLost = ({ reason }: { reason: string }) => lost.push(reason);
    const first = await one.lock('k', { limit: 3, onLost });
    const second = await one.lock('k', { limit: 3, owner: '_mine', onLost });
    const third = await one.lock('k', { limit: 3, onLost });
    expect(await other.forceRelease('k', { owner: 'nobody' })).toBe(false);
    expect(await other.forceRelease('k', { owner: first.owner })).toBe(true);
    expect([first.state, second.state, third.state]).toEqual(['lost', 'held', 'held']);
    expect(await other.forceRelease('k', { owner: '_mine' })).toBe(true);
    expect([second.state, third.state]).toEqual(['lost', 'held']);
    expect(await other.forceRelease('k')).toBe(true);
    expect(third.state).toBe('lost');
    await settled();
    expect(lost).toEqual(['forced', 'forced', 'forced']);
    expect(await other.inspect('k')).toBeNull();
  });

  test('end a lock that is held alone only if it is of the owner they name', async () => {
    const { locker } = bench();
    const held = await locker().lock('k', { owner: 'x' });
    expect(await locker().forceRelease('k', { owner: 'y' })).toBe(false);
    expect(held.state).toBe('held');
    expect(await locker().forceRelease('k', { owner: 'x' })).toBe(true);
    expect(held.state).toBe('lost');
  });

  test('end a lock by the owner that they see, also one that looks generated', async () => {
    const { locker } = bench();
    const generated = await locker().lock('k');
    await generated.release();
    for (const owner of [undefined, generated.owner, '_', '__x', '_AAAAAAAAAAA']) {
      const held = await locker().lock('k', { owner });
      const seen = await locker().inspect('k');
      expect(seen?.owner).toBe(held.owner);
      expect(await locker().forceRelease('k', { owner: held.owner })).toBe(true);
      expect(held.state).toBe('lost');
    }
  });
});
