import { describe, expect, test } from 'vitest';
import { LockStoreError, type LockStore, type RenewReply } from '../src/index.ts';
import { bench, hear, settled, variant, watch, type Bench } from './kit.ts';

/** A bench whose store can do less, or answers otherwise, than the memory store. */
function benchWith(
  capabilities: Partial<LockStore['capabilities']>,
  changes: (store: LockStore) => Partial<LockStore> = () => ({}),
): Bench {
  return bench((store) =>
    variant(store, {
      ...changes(store),
      capabilities: { ...store.capabilities, ...capabilities },
    }),
  );
}

describe('a store that cannot notify', () => {
  const polled = (): Bench =>
    benchWith({ wakeUp: 'poll' }, (store) => ({
      acquire: (request) => store.acquire({ ...request, wait: false }),
      subscribe: () => () => {},
      refresh: undefined as never,
      leave: undefined as never,
    }));

  test('polls with jitter, with one poller per process and key', async () => {
    const { locker, clock, requests } = polled();
    const holder = await locker().lock('k', { ttl: 600_000 });
    const one = locker();
    const waiters = Array.from({ length: 50 }, () => watch(one.lock('k'), clock));
    await clock.advance(20_000);
    const times = requests.map(({ at }) => at).slice(2);
    const gaps = times.slice(1).map((at, index) => at - times[index]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(20);
    expect(Math.max(...gaps)).toBeLessThan(501);
    expect(new Set(gaps).size).toBeGreaterThan(gaps.length / 2);
    expect(new Set(requests.map(({ verb }) => verb))).toEqual(new Set(['acquire']));
    await holder.release();
    await clock.advance(500);
    expect(waiters.map(({ state }) => state === 'fulfilled')).toEqual(
      waiters.map((_, index) => index === 0),
    );
  });

  test('lets those in line be served, and those who leave go, without a message', async () => {
    const { locker, clock, free, sent } = polled();
    const holder = await locker().lock('k');
    const one = locker();
    const controller = new AbortController();
    const gone = watch(one.lock('k', { signal: controller.signal }), clock);
    const limited = watch(one.lock('k', { wait: 300 }), clock);
    const list = watch(one.lock(['j', 'k']), clock);
    await clock.advance(100);
    controller.abort('x');
    await clock.advance(300);
    expect([gone.reason, limited.state]).toEqual(['x', 'rejected']);
    await holder.release();
    await clock.advance(1_000);
    expect(list.state).toBe('fulfilled');
    await list.value?.release();
    expect(await free('k')).toBe(true);
    await clock.advance(20_000);
    expect(sent('refresh', 'leave')).toBe(0);
    expect(clock.timers).toBe(0);
  });
});

describe('a store without fencing tokens', () => {
  test('gives 0 to every holder, also where the lock is handed over', async () => {
    const { locker, sent } = benchWith({ fencing: 'none' }, (store) => ({
      acquire: async (request) => {
        const reply = await store.acquire(request);
        return reply.granted ? { ...reply, token: 0, tokens: 1 } : reply;
      },
    }));
    const one = locker();
    const tokens: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, () => one.withLock('k', (lock) => tokens.push(lock.fencingToken))),
    );
    expect(tokens).toEqual(Array.from({ length: 20 }, () => 0));
    expect(sent('acquire')).toBe(1);
    const lock = await one.lock(['a', 'b']);
    expect([lock.fencingToken, lock.tokenFor('a'), lock.tokenFor('b')]).toEqual([0, 0, 0]);
  });

  test('hands over as often as the store gave tokens, if it gave fewer than asked for', async () => {
    const { locker, sent } = benchWith({}, (store) => ({
      acquire: (request) => store.acquire({ ...request, tokens: 4 }),
    }));
    const one = locker();
    const tokens: number[] = [];
    await Promise.all(
      Array.from({ length: 12 }, () => one.withLock('k', (lock) => tokens.push(lock.fencingToken))),
    );
    expect(new Set(tokens).size).toBe(12);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(sent('acquire')).toBe(3);
  });
});

describe('a store that tells nothing of early ends', () => {
  const deaf = (): Bench => benchWith({}, () => ({ subscribe: () => () => {} }));

  test('lets the older handle know from the grant of the newer one of its locker', async () => {
    const { locker } = deaf();
    const one = locker();
    const heard = hear(one, 'lost');
    const older = await one.lock('k', { owner: 'o' });
    const newer = await one.lock('k', { owner: 'o' });
    expect(older.signal.reason).toMatchObject({ reason: 'superseded' });
    expect(newer.state).toBe('held');
    expect(heard).toHaveLength(1);
  });

  test('notices an early end after somebody else had the lock in between', async () => {
    const { locker, faults } = deaf();
    const one = locker();
    const older = await one.lock('k', { owner: 'o' });
    await faults.evict('k');
    const newer = await one.lock('k', { owner: 'p' });
    expect(older.signal.reason).toMatchObject({ reason: 'stolen' });
    expect(newer.state).toBe('held');
  });

  test('tells other lockers at their next renewal', async () => {
    const { locker, clock } = deaf();
    const older = await locker().lock('k', { owner: 'o', ttl: 300 });
    const newer = await locker().lock('k', { owner: 'o' });
    expect(older.state).toBe('held');
    expect(newer.fencingToken).toBeGreaterThan(older.fencingToken);
    await clock.advance(100);
    expect(older.signal.reason).toMatchObject({ reason: 'superseded' });
  });

  test('has every lock checked as often as it asks for, also those without renewal', async () => {
    const { locker, clock, requests, faults } = benchWith({ checkEvery: 1_500 });
    const lock = await locker().lock('k', { ttl: 60_000, renew: false });
    await clock.advance(4_600);
    const checks = requests.filter(({ verb }) => verb === 'renew');
    expect(checks.map(({ at }) => at)).toEqual([1_500, 3_000, 4_500]);
    for (const { args } of checks) expect(args[0]).toMatchObject([{ ttl: 0 }]);
    // It is looked at, and not prolonged.
    expect(lock.remaining).toBe(58_000 - 4_600);
    await faults.evict('k');
    await clock.advance(1_400);
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
  });

  test('renews as often as it asks for, where that is more often than a third of the ttl', async () => {
    const { locker, clock, sent } = benchWith({ checkEvery: 1_500 });
    const lock = await locker().lock('k', { ttl: 60_000 });
    await clock.advance(15_000);
    expect(sent('renew')).toBe(10);
    lock.assertHeld();
  });
});

describe('a store that throws instead of rejecting', () => {
  const crash = new Error('crash');

  test.each(['acquire', 'renew', 'release', 'inspect', 'forceRelease'] as const)(
    'treats a throw at %s like a rejection',
    async (verb) => {
      let broken = true;
      const { locker, clock, free } = benchWith({}, (store) => ({
        [verb]: (...args: unknown[]) => {
          if (broken) throw crash;
          return (Reflect.get(store, verb) as (...given: unknown[]) => unknown).apply(store, args);
        },
      }));
      const one = locker();
      const waiting = watch(one.lock('k', { ttl: 3_000 }), clock);
      const tried = watch(one.tryLock('j'), clock);
      const list = watch(one.lock(['a', 'b']), clock);
      const asked = [watch(one.inspect('k')), watch(one.forceRelease('none'))];
      await clock.advance(2_500);
      expect(tried.state).toBe(verb === 'acquire' ? 'rejected' : 'fulfilled');
      expect((tried.reason as Error | undefined)?.cause).toBe(
        verb === 'acquire' ? crash : undefined,
      );
      expect(asked.filter(({ state }) => state === 'rejected')).toHaveLength(
        verb === 'inspect' || verb === 'forceRelease' ? 1 : 0,
      );
      expect([waiting.state, list.state]).toEqual(
        verb === 'acquire' ? ['pending', 'pending'] : ['fulfilled', 'fulfilled'],
      );
      const released = [waiting, tried, list].map(({ value }) =>
        watch(Promise.resolve(value?.release()), clock),
      );
      broken = false;
      await clock.advance(5_000);
      expect(released.map(({ state }) => state)).toEqual(released.map(() => 'fulfilled'));
      for (const { value } of [waiting, list]) await value?.release();
      await clock.advance(1_000);
      for (const key of ['k', 'j', 'a', 'b']) expect(await free(key)).toBe(true);
    },
  );
});

describe('a renewal that a store cannot answer for one key', () => {
  test.each<[string, (replies: readonly RenewReply[]) => readonly RenewReply[]]>([
    ['an error', (replies) => replies.map((reply, at) => (at === 0 ? new Error('moved') : reply))],
    ['no answer', (replies) => replies.slice(0, -1)],
  ])('(%s) is asked again for that one', async (_, change) => {
    let odd = true;
    const { locker, clock, requests } = benchWith({}, (store) => ({
      renew: async (batch) => {
        const replies = await store.renew(batch);
        return odd && batch.length > 1 ? change(replies) : replies;
      },
    }));
    const one = locker({ ttl: 3_000 });
    const heard = hear(one, 'store-error', 'lost');
    const locks = [await one.lock('a'), await one.lock('b')];
    await clock.advance(1_200);
    odd = false;
    const renewals = requests.filter(({ verb }) => verb === 'renew');
    expect(renewals.map(({ at, args }) => [at, (args[0] as unknown[]).length])).toEqual([
      [1_000, 2],
      [1_150, 1],
    ]);
    expect(heard).toMatchObject([{ event: 'store-error', error: { phase: 'renew' } }]);
    await clock.advance(30_000);
    for (const lock of locks) lock.assertHeld();
  });

  test('rejects the extension of that one', async () => {
    const { locker } = benchWith({}, () => ({ renew: () => [] }));
    const lock = await locker().lock('k');
    await expect(lock.extend()).rejects.toBeInstanceOf(LockStoreError);
    lock.assertHeld();
  });
});

test('a wake-up that comes when nobody waits any more gives the place back', async () => {
  const { locker, tell, sent } = bench();
  const one = locker();
  await (await one.lock('k')).release();
  tell({ type: 'wake', key: 'k' });
  await settled();
  expect(sent('leave')).toBe(1);
});

test('a loss that is told of an earlier grant does not touch the present one', async () => {
  const { locker, tell } = bench();
  const lock = await locker().lock('k');
  tell({ type: 'lost', key: 'k', id: 'another', reason: 'forced' });
  tell({ type: 'lost', key: 'unknown', id: 'another', reason: 'forced' });
  lock.assertHeld();
});
