import { describe, expect, test } from 'vitest';
import { LockConflictError, LockReentryError, type Lock } from '../src/index.ts';
import { bench, rejection, settled, watch, type Watched } from './kit.ts';

describe('readers and writers', () => {
  test('readers hold together, and a writer holds alone', async () => {
    const { locker } = bench();
    const one = locker();
    const readers = [
      await one.lock('k', { shared: true }),
      await one.lock('k', { shared: true }),
      await locker().lock('k', { shared: true }),
    ];
    expect(await one.tryLock('k')).toBeNull();
    expect(await locker().tryLock('k')).toBeNull();
    for (const reader of readers) await reader.release();
    const writer = await one.lock('k');
    expect(await one.tryLock('k', { shared: true })).toBeNull();
    expect(await locker().tryLock('k', { shared: true })).toBeNull();
    await writer.release();
    expect(await locker().tryLock('k', { shared: true })).not.toBeNull();
  });

  test.each([
    ['of one process', true],
    ['of several processes', false],
  ])(
    'a writer that waits stops later readers %s, and those are then served together',
    async (_, same) => {
      const { locker } = bench();
      const shared = locker();
      const another = () => (same ? shared : locker());
      const reader = await another().lock('k', { shared: true });
      const writer = watch(another().lock('k'));
      await settled();
      const later = Array.from({ length: 20 }, () => watch(another().lock('k', { shared: true })));
      await settled();
      expect(await another().tryLock('k', { shared: true })).toBeNull();
      expect(later.every(({ state }) => state === 'pending')).toBe(true);
      await reader.release();
      await settled();
      expect(writer.state).toBe('fulfilled');
      expect(later.every(({ state }) => state === 'pending')).toBe(true);
      await writer.value?.release();
      await settled();
      expect(later.every(({ state }) => state === 'fulfilled')).toBe(true);
    },
  );

  test('only adjacent readers are served together', async () => {
    const { locker } = bench();
    const writer = await locker().lock('k');
    const wishes: Watched<Lock>[] = [];
    for (const shared of [true, true, false, true, true]) {
      wishes.push(watch(locker().lock('k', { shared })));
      await settled();
    }
    const held = () => wishes.map(({ state }) => (state === 'fulfilled' ? 1 : 0)).join('');
    await writer.release();
    await settled();
    expect(held()).toBe('11000');
    await wishes[0]?.value?.release();
    await settled();
    expect(held()).toBe('11000');
    await wishes[1]?.value?.release();
    await settled();
    expect(held()).toBe('11100');
    await wishes[2]?.value?.release();
    await settled();
    expect(held()).toBe('11111');
  });

  test('readers move on when the writer before them gives up', async () => {
    const { locker, clock } = bench();
    await locker().lock('k', { shared: true });
    const writer = rejection(locker().lock('k', { wait: 300 }));
    await settled();
    const reader = watch(locker().lock('k', { shared: true }));
    await settled();
    expect(reader.state).toBe('pending');
    await clock.advance(301);
    await writer;
    await settled();
    expect(reader.state).toBe('fulfilled');
  });

  test('a writer moves on when the last reader has crashed', async () => {
    const { locker, clock } = bench();
    await locker().lock('k', { shared: true, ttl: 1_000, renew: false });
    const writer = watch(locker().lock('k'));
    await clock.advance(2_600);
    expect(writer.state).toBe('fulfilled');
  });

  test('a fencing token is larger than those of all before, readers or not', async () => {
    const { locker } = bench();
    const one = locker();
    const tokens: number[] = [];
    for (const shared of [true, true, false, true]) {
      const lock = await one.lock('k', { shared });
      tokens.push(lock.fencingToken);
      if (!shared || tokens.length === 1) await lock.release();
      else void lock.release();
    }
    expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
  });

  test('a lock that was held alone is never passed on to a reader, nor the other way round', async () => {
    const { locker, sent } = bench();
    const one = locker();
    const writer = await one.lock('k');
    const reader = watch(one.lock('k', { shared: true }));
    await settled();
    const before = sent('acquire');
    await writer.release();
    await settled();
    expect(reader.state).toBe('fulfilled');
    expect(sent('acquire')).toBeGreaterThan(before);
    const next = watch(one.lock('k'));
    await settled();
    await reader.value?.release();
    await settled();
    expect(next.state).toBe('fulfilled');
    expect(next.value?.fencingToken).toBeGreaterThan(reader.value?.fencingToken ?? 0);
  });

  test('an owner turns its writer into a reader at once', async () => {
    const { locker } = bench();
    const writer = await locker().lock('k', { owner: 'job' });
    const waiting = watch(locker().lock('k'));
    await settled();
    const reader = await locker().lock('k', { owner: 'job', shared: true });
    await settled();
    expect([writer.state, reader.state, waiting.state]).toEqual(['lost', 'held', 'pending']);
  });

  test.each([
    ['alone', { shared: true }, {}],
    ['a heavier permit', { limit: 3 }, { limit: 3, weight: 3 }],
  ])(
    'an owner that wants %s does not wait for itself, also behind others of its process',
    async (__, has, wants) => {
      const { locker } = bench();
      const one = locker();
      const mine = { owner: 'job' };
      const first = await one.lock('k', { ...has, ...mine });
      const other = await locker().lock('k', has);
      const before = watch(one.lock('k', wants));
      await settled();
      expect(await one.tryLock('k', { ...wants, ...mine })).toBeNull();
      expect(first.state).toBe('held');
      const again = watch(one.lock('k', { ...wants, ...mine }));
      await settled();
      expect([first.state, first.signal.reason]).toMatchObject(['lost', { reason: 'superseded' }]);
      await other.release();
      await settled();
      expect([before.state, again.state]).toEqual(['fulfilled', 'pending']);
      await before.value?.release();
      await settled();
      expect(again.state).toBe('fulfilled');
    },
  );

  test('an owner that reads, and nobody else, has the key alone at once, past those who wait', async () => {
    const { locker } = bench();
    const one = locker();
    const reader = await one.lock('k', { owner: 'job', shared: true });
    const waiting = watch(one.lock('k'));
    await settled();
    const writer = await one.lock('k', { owner: 'job' });
    await settled();
    expect([reader.state, writer.state, waiting.state]).toEqual(['lost', 'held', 'pending']);
    expect(await locker().tryLock('k', { shared: true })).toBeNull();
    await writer.release();
    await settled();
    expect(waiting.state).toBe('fulfilled');
  });
});

describe('in the context of a lock', () => {
  test('an upgrade of a shared lock is refused at once', async () => {
    const { locker, sent } = bench();
    const one = locker();
    const error = await one.withLock('k', { shared: true }, async () => {
      const asked = sent('acquire');
      const refused = await rejection(one.lock('k'));
      expect(sent('acquire')).toBe(asked);
      expect(await rejection(one.lock('k', { reentry: 'join' }))).toBeInstanceOf(LockConflictError);
      expect(await one.tryLock('k')).toBeNull();
      return refused;
    });
    expect(error).toBeInstanceOf(LockConflictError);
    expect(error).toMatchObject({ code: 'LOCK_CONFLICT', limit: 1, currentLimit: 1, key: 'k' });
    expect((error as Error).message).toContain('shared');
  });

  test('another limit is refused at once', async () => {
    const { locker } = bench();
    const one = locker();
    const error = await one.withLock('k', { limit: 3 }, () =>
      rejection(one.lock('k', { limit: 2 })),
    );
    expect(error).toMatchObject({ code: 'LOCK_CONFLICT', limit: 2, currentLimit: 3 });
  });

  test('a reader inside a reader would wait behind a writer, and is refused, or joins', async () => {
    const { locker } = bench();
    const one = locker();
    await one.withLock('k', { shared: true }, async (outer) => {
      const again = rejection(one.lock('k', { shared: true }));
      expect(await again).toBeInstanceOf(LockReentryError);
      const joined = await one.lock('k', { shared: true, reentry: 'join' });
      expect(joined.fencingToken).toBe(outer.fencingToken);
    });
    await one.withLock('k', async (outer) => {
      const joined = await one.lock('k', { shared: true, reentry: 'join' });
      expect(joined.fencingToken).toBe(outer.fencingToken);
    });
  });

  test('a permit joins one of at least its weight', async () => {
    const { locker } = bench();
    const one = locker();
    await one.withLock('k', { limit: 3, weight: 2 }, async () => {
      await one.lock('k', { limit: 3, weight: 2, reentry: 'join' });
      const heavier = rejection(one.lock('k', { limit: 3, weight: 3, reentry: 'join' }));
      expect(await heavier).toBeInstanceOf(LockReentryError);
    });
  });
});
