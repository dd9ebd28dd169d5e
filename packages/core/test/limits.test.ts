import { describe, expect, test } from 'vitest';
import {
  createLocker,
  isKey,
  LockArgumentError,
  LockQueueFullError,
  type Lock,
  type LockerOptions,
} from '../src/index.ts';
import { bench, hear, rejection, settled, variant, watch } from './kit.ts';

describe('keys of one acquisition', () => {
  test('may be 100, however often each is named, and not one more', async () => {
    const { locker, requests } = bench();
    const one = locker();
    const keys = Array.from({ length: 100 }, (_, index) => `k${index}`);
    const lock = await one.lock([...keys, ...keys]);
    expect(lock.keys).toHaveLength(100);
    const sent = requests.length;
    const calls = [
      () => one.lock([...keys, 'another']),
      () => one.tryLock([...keys, 'another']),
      () => one.withLock([...keys, 'another'], () => {}),
      () => one.tryWithLock([...keys, 'another'], () => {}),
    ];
    for (const call of calls) {
      const error = await rejection(call());
      expect(error).toBeInstanceOf(LockArgumentError);
      expect(error).toMatchObject({ message: expect.stringMatching(/100 keys.*`maxKeys`/) });
    }
    expect(requests).toHaveLength(sent);
  });

  test('may be as many as `maxKeys` says', async () => {
    const { locker } = bench();
    const one = locker({ maxKeys: 2 });
    expect((await one.lock(['a', 'b'])).keys).toEqual(['a', 'b']);
    expect(await rejection(one.lock(['a', 'b', 'c']))).toBeInstanceOf(LockArgumentError);
    const keys = Array.from({ length: 1_000 }, (_, index) => `k${index}`);
    expect((await locker({ maxKeys: Infinity }).lock(keys)).keys).toHaveLength(1_000);
  });
});

describe('a text', () => {
  const kB = 1_024;
  // Each character is 3 bytes in UTF-8.
  const wide = (bytes: number): string => '…'.repeat(Math.floor(bytes / 3)) + 'x'.repeat(bytes % 3);

  test('accepts a key of up to 64 kB', async () => {
    const { locker, requests } = bench((store) =>
      variant(store, { encodeKey: undefined as never, decodeKey: undefined as never }),
    );
    const one = locker();
    for (const make of ['x'.repeat.bind('x'), wide]) {
      const longest = make(64 * kB);
      expect((await one.lock(longest)).key).toBe(longest);
      const sent = requests.length;
      const tooLong = `${longest}x`;
      for (const call of [
        () => one.lock(tooLong),
        () => one.lock(['a', tooLong]),
        () => one.inspect(tooLong),
        () => one.forceRelease(tooLong),
      ]) {
        expect(await rejection(call())).toMatchObject({
          code: 'LOCK_INVALID_ARGUMENT',
          message: 'A key must not be longer than 65536 bytes.',
        });
      }
      expect(requests).toHaveLength(sent);
      expect([isKey(longest), isKey(tooLong)]).toEqual([true, false]);
    }
  });

  test('accepts an owner of up to 1 kB', async () => {
    const { locker, requests } = bench();
    const one = locker();
    for (const make of ['x'.repeat.bind('x'), wide]) {
      const owner = make(kB);
      expect((await one.lock('k', { owner })).owner).toBe(owner);
      const sent = requests.length;
      const error = await rejection(one.lock('k', { owner: `${owner}x` }));
      expect(error).toMatchObject({ message: '`owner` must be at most 1024 bytes long.' });
      expect(requests).toHaveLength(sent);
      await one.forceRelease('k');
    }
  });

  test('cuts a label at 256 characters', async () => {
    const { locker } = bench();
    const lock = await locker({ label: 'x'.repeat(5_000_000) }).lock('a');
    expect(lock.label).toBe('x'.repeat(256));
    const half = await locker().lock('b', { label: `${'x'.repeat(255)}😀` });
    expect(half.label).toBe('x'.repeat(255));
    expect((await locker().inspect('b'))?.label).toBe('x'.repeat(255));
  });
});

describe('a generated owner', () => {
  test('cannot be told from those before it', async () => {
    const locker = createLocker();
    const owners = new Set<string>();
    const beginnings = new Set<string>();
    for (let index = 0; index < 2_000; index++) {
      const lock = await locker.lock('k');
      owners.add(lock.owner);
      beginnings.add(lock.owner.slice(0, 6));
      await lock.release();
    }
    expect(owners.size).toBe(2_000);
    // Of 5 random characters; nothing that counts.
    expect(beginnings.size).toBeGreaterThan(1_990);
    for (const owner of owners) expect(owner).toMatch(/^_[A-Za-f][\w-]{10}$/);
  });

  test('equals no explicit owner, whoever saw it', async () => {
    const { locker } = bench();
    const victim = await locker().lock('k', { wait: 0 });
    const seen = (await locker().inspect('k'))?.owner;
    expect(seen).toBe(victim.owner);
    for (const owner of [victim.owner, `_${victim.owner}`, victim.owner.slice(1)]) {
      expect(await locker().tryLock('k', { owner })).toBeNull();
    }
    expect(victim.state).toBe('held');
  });

  test('equals no explicit owner that looks like it, and those resume as they should', async () => {
    const { locker } = bench();
    for (const owner of ['_', '__', '_abcdefghijk', '__abcdefghij', '___abcdefghij']) {
      const older = await locker().lock('k', { owner });
      expect(older.owner).toBe(owner);
      expect((await locker().inspect('k'))?.owner).toBe(owner);
      expect(await locker().tryLock('k', { owner: `_${owner}` })).toBeNull();
      const newer = await locker().lock('k', { owner });
      expect([older.state, newer.state]).toEqual(['lost', 'held']);
      await newer.release();
    }
  });

  test('stays behind when the lock is handed over', async () => {
    const { locker } = bench();
    const one = locker();
    const first = await one.lock('k');
    const second = one.lock('k');
    await first.release();
    const next = await second;
    expect(await locker().tryLock('k', { owner: next.owner })).toBeNull();
    expect(await locker().tryLock('k', { owner: first.owner })).toBeNull();
    expect(next.state).toBe('held');
  });
});

/** On a store that answers later, as servers do. */
const slow: Parameters<typeof bench>[0] = (store) =>
  variant(store, {
    acquire: async (request) => {
      await Promise.resolve();
      return store.acquire(request);
    },
  });

describe.each([
  { how: 'at once', change: undefined },
  { how: 'later', change: slow },
])('those who wait, where the store answers $how', ({ change }) => {
  const world = (options: LockerOptions) => {
    const made = bench(change);
    return { ...made, one: made.locker(options) };
  };
  const states = (calls: { state: string }[]): string[] => calls.map(({ state }) => state);

  test('refuses more than `maxWaiters` per key at once', async () => {
    const { one, locker, requests, clock } = world({ maxWaiters: 2 });
    const heard = hear(one, 'waiting', 'not-acquired');
    const lock = await one.lock('k');
    const waiting = [watch(one.lock('k')), watch(one.lock('k'))];
    await settled();
    const sent = requests.length;
    const error = await rejection(one.lock('k', { label: 'late' }));
    expect(error).toBeInstanceOf(LockQueueFullError);
    expect(error).toMatchObject({
      name: 'LockQueueFullError',
      code: 'LOCK_QUEUE_FULL',
      status: 503,
      statusCode: 503,
      expose: false,
      headers: { 'Retry-After': '1' },
      key: 'k',
      limit: 2,
    });
    expect((error as Error).message).toContain('`maxWaiters`');
    expect(requests).toHaveLength(sent);
    expect(heard.at(-1)).toMatchObject({
      event: 'not-acquired',
      reason: 'queue-full',
      key: 'k',
      label: 'late',
      waited: 0,
    });
    expect(heard.filter(({ event }) => event === 'waiting')).toHaveLength(2);
    // Neither other keys nor other lockers are concerned, nor is a single attempt.
    await one.lock('j');
    expect(await one.tryLock('k')).toBeNull();
    const other = watch(locker().lock('k'));
    await lock.release();
    await settled();
    expect(states(waiting)).toEqual(['fulfilled', 'pending']);
    const next = watch(one.lock('k'));
    await settled();
    expect(next.state).toBe('pending');
    for (const call of [waiting[0], waiting[1], next]) {
      await (call as { value: Lock }).value.release();
      await settled();
    }
    await clock.advance(1_000);
    expect(other.state).toBe('fulfilled');
  });

  test('refuses more than `maxWaiters` also when all ask in one turn', async () => {
    const { one, locker } = world({ maxWaiters: 3 });
    const free = Array.from({ length: 10 }, () => watch(one.lock('k')));
    await settled();
    expect(states(free)).toEqual([
      'fulfilled',
      ...Array(3).fill('pending'),
      ...Array(6).fill('rejected'),
    ]);
    await locker().lock('j');
    const busy = Array.from({ length: 10 }, () => watch(one.lock('j')));
    await settled();
    expect(states(busy)).toEqual([...Array(3).fill('pending'), ...Array(7).fill('rejected')]);
    for (const { reason } of [...free, ...busy].filter(({ state }) => state === 'rejected')) {
      expect(reason).toBeInstanceOf(LockQueueFullError);
    }
  });

  test('registers nobody on the store when `maxWaiters` is 0', async () => {
    const { one, locker, requests } = world({ maxWaiters: 0 });
    const lock = await one.lock('k');
    expect(await rejection(one.lock('k'))).toBeInstanceOf(LockQueueFullError);
    const theirs = await locker().lock('j');
    expect(await rejection(one.lock('j'))).toBeInstanceOf(LockQueueFullError);
    expect(await rejection(one.lock(['i', 'j']))).toBeInstanceOf(LockQueueFullError);
    expect(await rejection(one.tryLock('j', { wait: 100 }))).toBeInstanceOf(LockQueueFullError);
    const registering = requests.filter(({ args }) => (args[0] as { wait?: boolean }).wait);
    // Only that of the other locker, which holds it.
    expect(registering).toHaveLength(1);
    expect((await locker().inspect('j'))?.waiters).toBe(0);
    await theirs.release();
    await lock.release();
    await (await one.lock(['i', 'j', 'k'])).release();
  });

  test('refuses more than `maxWaiting` over all keys, but still grants a free lock', async () => {
    const { one, locker } = world({ maxWaiting: 2 });
    for (const key of ['a', 'b', 'c']) await locker().lock(key, { owner: 'o' });
    const waiting = [watch(one.lock('a')), watch(one.lock(['0', 'b']))];
    await settled();
    const error = await rejection(one.lock('c'));
    expect(error).toBeInstanceOf(LockQueueFullError);
    expect(error).toMatchObject({ limit: 2, key: 'c' });
    expect((error as Error).message).toContain('`maxWaiting`');
    expect(await rejection(one.lock('a'))).toBeInstanceOf(LockQueueFullError);
    await (await one.lock('free')).release();
    // Whoever owns a lock takes it over without waiting.
    await (await one.lock('c', { owner: 'o' })).release();
    await locker().forceRelease('b');
    await settled();
    expect(states(waiting)).toEqual(['pending', 'fulfilled']);
    await locker().lock('c');
    const next = watch(one.lock('c'));
    await settled();
    expect(next.state).toBe('pending');
  });

  test('make room by leaving, by whatever way', async () => {
    const { one, locker, clock } = world({ maxWaiters: 1, maxWaiting: 1 });
    await locker().lock('k', { ttl: 60_000 });
    const gone = new AbortController();
    const ends = [
      { wait: 100, end: () => clock.advance(100) },
      { signal: gone.signal, end: async () => gone.abort() },
    ];
    for (const { end, ...options } of ends) {
      const waiting = watch(one.lock('k', options));
      await settled();
      expect(await rejection(one.lock('k'))).toBeInstanceOf(LockQueueFullError);
      await end();
      await settled();
      expect(waiting.state).toBe('rejected');
    }
    const last = watch(one.lock('k'));
    await settled();
    expect(last.state).toBe('pending');
    await one.close();
    expect(last.reason).toMatchObject({ code: 'LOCKER_CLOSED' });
  });
});

test('25,000 of 50,000 who wait leave by one signal, and the others keep their order', async () => {
  const locker = createLocker();
  const lock = await locker.lock('k');
  const gone = new AbortController();
  const served: number[] = [];
  const refused: number[] = [];
  const calls = Array.from({ length: 50_000 }, async (_, index) => {
    const signal = index % 2 === 0 ? gone.signal : undefined;
    try {
      const own = await locker.lock('k', { signal });
      served.push(index);
      await own.release();
    } catch {
      refused.push(index);
    }
  });
  gone.abort();
  // They are told over several turns of the event loop.
  while (refused.length < 25_000) await new Promise((resolve) => setImmediate(resolve));
  expect(refused).toEqual(Array.from({ length: 25_000 }, (_, index) => index * 2));
  await lock.release();
  await Promise.all(calls);
  expect(served).toEqual(Array.from({ length: 25_000 }, (_, index) => index * 2 + 1));
});

test.each([
  { maxKeys: 0 },
  { maxKeys: 1.5 },
  { maxKeys: NaN },
  { maxKeys: null },
  { maxWaiters: -1 },
  { maxWaiters: '3' },
  { maxWaiters: 0.5 },
  { maxWaiting: -1 },
  { maxWaiting: null },
  { throwIfLost: 1 },
  { label: 5 },
])('a locker cannot be made with %o', (options) => {
  expect(() => createLocker(options as never)).toThrow(LockArgumentError);
});
