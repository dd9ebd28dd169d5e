import { describe, expect, test } from 'vitest';
import {
  createLocker,
  LockArgumentError,
  LockStoreError,
  memoryStore,
  storedKey,
  userKey,
  type Locker,
  type LockInfo,
  type LockPage,
} from '../src/index.ts';
import { bench, rejection, settled, variant, virtualClock } from './kit.ts';

async function all(
  locker: Locker,
  options: { prefix?: string; limit?: number } = {},
): Promise<LockInfo[]> {
  const locks: LockInfo[] = [];
  let page: LockPage | undefined;
  while (page === undefined || page.cursor !== undefined) {
    page = await locker.list({ ...options, cursor: page?.cursor });
    locks.push(...page.locks);
  }
  return locks;
}

const keysOf = (locks: readonly LockInfo[]): string[] => locks.map(({ key }) => key).toSorted();

/** The memory store as it is, and with the keys that servers get. */
const stores = [
  { what: 'with its own keys', world: () => bench() },
  {
    what: 'with encoded keys',
    world: () =>
      bench((store) => variant(store, { encodeKey: undefined, decodeKey: undefined } as never)),
  },
];

describe.each(stores)('the locks of a store $what', ({ world }) => {
  test('lists each lock with its holder, and since when it is held', async () => {
    const { locker, clock } = world();
    await clock.advance(5_000);
    const one = locker({ label: 'host:1' });
    const lock = await one.lock('invoice:42', { owner: 'task-7', label: 'worker 3' });
    await clock.advance(1_000);
    const waiting = one.lock('invoice:42', { wait: 500 }).catch(() => {});
    await settled();
    const page = await locker().list();
    expect(page).toEqual({
      locks: [
        {
          key: 'invoice:42',
          owner: 'task-7',
          label: 'worker 3',
          fencingToken: lock.fencingToken,
          since: clock.wallNow() - 1_000,
          remaining: 9_000,
          waiters: 1,
        },
      ],
    });
    // The store does not count who asks; the locker does.
    expect((await one.list()).locks[0]?.waiters).toBe(1);
    expect('cursor' in page).toBe(false);
    await clock.advance(500);
    await waiting;
  });

  test('come in pages of 100 unless it is said otherwise', async () => {
    const { locker } = world();
    const one = locker();
    const keys = Array.from({ length: 250 }, (_, index) => `k${index}`);
    for (const key of keys) await one.lock(key);
    const first = await one.list();
    expect(first.locks).toHaveLength(100);
    const second = await one.list({ cursor: first.cursor });
    expect(second.locks).toHaveLength(100);
    const third = await one.list({ cursor: second.cursor, limit: 1_000 });
    expect(third.locks).toHaveLength(50);
    expect(third.cursor).toBeUndefined();
    expect(keysOf([...first.locks, ...second.locks, ...third.locks])).toEqual(keys.toSorted());
    expect((await one.list({ limit: 250 })).cursor).toBeUndefined();
    expect((await one.list({ limit: 7 })).locks).toHaveLength(7);
  });

  test('lists the locks of one namespace, never those of a longer name', async () => {
    const { locker } = world();
    const namespaces = ['a', 'a:b', 'ab', 'A', 'holdfast', '', 'a%3Ab', '\0', '0', '~'];
    for (const namespace of namespaces) {
      for (const key of ['b', 'b:c', ':', '\0b', '~']) {
        await locker({ namespace }).lock(key, { label: namespace });
      }
    }
    for (const namespace of namespaces) {
      const locks = await all(locker({ namespace }), { limit: 3 });
      expect(locks.map(({ label }) => label)).toEqual(Array(5).fill(namespace));
      expect(keysOf(locks)).toEqual(['\0b', ':', 'b', 'b:c', '~']);
      expect(await all(locker({ namespace }), { prefix: 'b' })).toHaveLength(2);
      expect(await all(locker({ namespace }), { prefix: 'b:' })).toHaveLength(1);
    }
    expect(await all(locker({ namespace: 'nobody’s' }))).toEqual([]);
  });

  test('lists the locks of a namespace that is very long, and of no other one', async () => {
    const { locker } = world();
    const namespaces = ['n'.repeat(99), 'n'.repeat(100), 'n'.repeat(300), `${'n'.repeat(300)}x`];
    namespaces.push(
      '株式会社の注文処理システム',
      '株式会社の注文処理システム・試験',
      ':'.repeat(50),
    );
    for (const [index, namespace] of namespaces.entries()) {
      for (const key of ['a', 'k'.repeat(90), 'k'.repeat(300)]) {
        await locker({ namespace }).lock(key, { label: `label ${index}` });
      }
    }
    for (const [index, namespace] of namespaces.entries()) {
      const locks = await all(locker({ namespace }));
      expect(locks.map(({ label }) => label)).toEqual(Array(3).fill(`label ${index}`));
      expect(keysOf(locks)[0]).toBe('a');
      expect(await all(locker({ namespace }), { prefix: 'kk' })).toHaveLength(2);
    }
  });

  test('finds locks by the beginning of their keys, whatever that is', async () => {
    const { locker } = world();
    const one = locker();
    const keys = [
      'order 1',
      'order:1',
      'order*',
      '[x]',
      'ä',
      'äö',
      '😀',
      '😃',
      '\ud83d',
      '%',
      '%41',
      'A',
      '\0',
      '~x',
      'a\nb',
    ];
    for (const key of keys) await one.lock(key);
    expect(keysOf(await all(one))).toEqual(keys.toSorted());
    for (const prefix of [...keys, 'order', 'o', 'ä', '\ud83d', '%4', 'nothing', '*', '']) {
      const expected = keys.filter((key) => key.startsWith(prefix)).toSorted();
      expect(keysOf(await all(one, { prefix, limit: 2 }))).toEqual(expected);
    }
  });

  test('shows a lock only while it is held', async () => {
    const { locker, clock } = world();
    const one = locker();
    const released = await one.lock('released');
    await one.lock('expired', { ttl: 1_000, renew: false });
    await one.lock('forced');
    await one.lock('held');
    const kept = await one.lock('kept', { holdAtLeast: 10_000 });
    await released.release();
    await kept.release();
    await one.forceRelease('forced');
    await clock.advance(1_000);
    expect(keysOf(await all(one))).toEqual(['held', 'kept']);
    await clock.advance(9_000);
    expect(keysOf(await all(one))).toEqual(['held']);
  });
});

describe('a key that is stored as a hash', () => {
  const { world } = stores[1] as (typeof stores)[number];
  const long = `order:${'x'.repeat(300)}`;

  test('lists a hashed key by its beginning and its hash', async () => {
    const { locker } = world();
    const one = locker();
    await one.lock(long);
    const stored = storedKey('holdfast', long);
    const [lock] = await all(one);
    expect(lock?.key).toBe(stored.slice('holdfast:'.length));
    expect(lock?.key).toMatch(/^order:x+~[\da-f]{64}$/);
    expect(userKey('holdfast', stored)).toBe(lock?.key);
    for (const prefix of ['', 'order:', long.slice(0, 90), long.slice(0, 200), long]) {
      expect(await all(one, { prefix })).toHaveLength(1);
    }
    for (const prefix of ['x', 'order:y', `y${long}`]) {
      expect(await all(one, { prefix })).toHaveLength(0);
    }
  });

  test('cuts a hashed key at a whole character', () => {
    for (let from = 85; from < 100; from++) {
      const key = `${'x'.repeat(from)}${'😀ä'.repeat(20)}`;
      const shown = userKey('ns', storedKey('ns', key)) as string;
      const [beginning, hash] = shown.split('~') as [string, string];
      expect(key.startsWith(beginning)).toBe(true);
      expect(hash).toHaveLength(64);
    }
  });
});

test('a stored key is shown as it was given', () => {
  const keys = [
    'a',
    'a b',
    'a:b',
    '%',
    '%41',
    'ä',
    '😀',
    '\ud800',
    '\udc00x',
    'a~b',
    '{}',
    '\0',
    '\u{10ffff}',
  ];
  for (const namespace of ['n', 'n:m', '', 'ä', 'n'.repeat(500)]) {
    for (const key of keys) expect(userKey(namespace, storedKey(namespace, key))).toBe(key);
    expect(userKey(`${namespace}x`, storedKey(namespace, 'a'))).toBeUndefined();
  }
});

describe('a look at a lock', () => {
  test('shows who waits and since when, here and elsewhere, the longest first', async () => {
    const { locker, clock } = bench();
    const here = locker({ label: 'here' });
    await here.lock('k', { label: 'holder' });
    const start = clock.wallNow();
    const wait = { wait: 60_000, renew: false };
    const calls = [here.lock('k', { ...wait, label: 'first' })];
    await clock.advance(100);
    calls.push(locker({ label: 'there' }).lock('k', { ...wait, label: 'second' }));
    await clock.advance(100);
    calls.push(here.lock('k', wait));
    for (const call of calls) call.catch(() => {});
    await clock.advance(100);
    const queue = [
      { label: 'first', since: start },
      { label: 'second', since: start + 100 },
      { label: 'here', since: start + 200 },
    ];
    expect(await here.inspect('k')).toMatchObject({
      label: 'holder',
      since: start,
      waiters: 3,
      queue,
    });
    const elsewhere = await locker().inspect('k');
    // A locker has one place in the store’s queue, for the first that waits in it.
    expect(elsewhere?.queue).toEqual(queue.slice(0, 2));
    expect(elsewhere?.waiters).toBe(2);
    expect((await locker().list()).locks[0]).not.toHaveProperty('queue');
  });

  test('shows an empty queue where nobody waits, and at most 100 who do', async () => {
    const { locker } = bench();
    const one = locker();
    await one.lock('k');
    expect((await one.inspect('k'))?.queue).toEqual([]);
    for (let index = 0; index < 150; index++) one.lock('k', { wait: 1_000 }).catch(() => {});
    await settled();
    const info = await one.inspect('k');
    expect([info?.queue?.length, info?.waiters]).toEqual([100, 150]);
  });
});

describe('what cannot be listed', () => {
  test('refuses bad options before any I/O', async () => {
    const { locker, sent } = bench();
    const one = locker();
    const bad: unknown[] = [
      null,
      'x',
      [],
      { prefix: 1 },
      { prefix: null },
      { limit: 0 },
      { limit: -1 },
      { limit: 1.5 },
      { limit: NaN },
      { limit: Infinity },
      { limit: 10_001 },
      { limit: '10' },
      { cursor: '' },
      { cursor: 5 },
      { cursor: 'x'.repeat(2_000) },
      { prefix: 'x'.repeat(70_000) },
      { perfix: 'x' },
    ];
    for (const options of bad) {
      expect(await rejection(one.list(options as never))).toBeInstanceOf(LockArgumentError);
    }
    expect(sent('list')).toBe(0);
    for (const cursor of ['x', '1', '99.0', '1.99', ' ']) {
      expect(await rejection(one.list({ cursor }))).toBeInstanceOf(LockArgumentError);
    }
    await one.close();
    expect(await rejection(one.list())).toMatchObject({ code: 'LOCKER_CLOSED' });
  });

  test('rejects when the store cannot list', async () => {
    const { locker } = bench((store) => variant(store, { list: undefined } as never));
    const error = await rejection(locker().list());
    expect(error).toBeInstanceOf(LockArgumentError);
    expect(error).toMatchObject({ message: 'This store (memory) cannot list its locks.' });
  });

  test('rejects when the store fails or does not answer', async () => {
    const { locker, faults, clock } = bench();
    const one = locker();
    faults.fail({ verb: 'list' });
    expect(await rejection(one.list())).toMatchObject({ phase: 'list', key: undefined });
    faults.dropReply({ verb: 'list' });
    const hangs = rejection(one.list());
    await clock.advance(2_000);
    expect(await hangs).toBeInstanceOf(LockStoreError);
  });
});

/** For very many locks, none of which is over before its time. */
function still(): Locker {
  const clock = virtualClock();
  return createLocker({ store: memoryStore({ clock }), clock });
}

describe('a page', () => {
  test('takes a bounded number of requests, however little the store finds', async () => {
    let asked = 0;
    const { locker } = bench((store) =>
      variant(store, {
        list: ({ cursor = '0' }) => {
          asked += 1;
          return { grants: [], cursor: String(Number(cursor) + 1) };
        },
      }),
    );
    const page = await locker().list();
    expect(page).toEqual({ locks: [], cursor: String(asked) });
    expect(asked).toBeLessThanOrEqual(8);
  });

  test('looks at a bounded number of keys', async () => {
    const one = still();
    for (let index = 0; index < 50_000; index++) await one.lock(`k${index}`);
    await one.lock('z');
    const first = await one.list({ prefix: 'z' });
    expect(first.locks).toEqual([]);
    let pages = 1;
    let page = first;
    for (; page.cursor !== undefined; pages++) {
      page = await one.list({ prefix: 'z', cursor: page.cursor });
    }
    expect(keysOf(page.locks)).toEqual(['z']);
    expect(pages).toBeLessThan(10);
    await one.close();
  });

  test('refuses the cursor of an abandoned walk, and repeats a page until then', async () => {
    const { locker, clock } = bench();
    const one = locker();
    for (let index = 0; index < 30; index++) await one.lock(`k${index}`, { ttl: 3_600_000 });
    const { cursor } = await one.list({ limit: 10 });
    const second = await one.list({ limit: 10, cursor });
    expect(await one.list({ limit: 10, cursor })).toEqual(second);
    await clock.advance(59_000);
    expect(keysOf((await one.list({ limit: 10, cursor })).locks)).toEqual(keysOf(second.locks));
    await clock.advance(60_000);
    expect(await rejection(one.list({ cursor }))).toBeInstanceOf(LockArgumentError);
    for (let walks = 0; walks < 1_000; walks++) await one.list({ limit: 10 });
  });

  test('may be one of very many', async () => {
    const one = still();
    for (let index = 0; index < 100_000; index++) await one.lock(`k${index}`);
    const locks = await all(one, { limit: 1_000 });
    expect(new Set(keysOf(locks)).size).toBe(100_000);
    await one.close();
  });
});
