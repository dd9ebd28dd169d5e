// What a locker does for permits and readers, on each kind of store alike.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createLocker,
  memoryStore,
  type Lock,
  type Locker,
  type LockerOptions,
  type LockOptions,
  type LockStore,
} from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import {
  redisBinary,
  startRedisCluster,
  until,
  useRedis,
  type TestCluster,
} from '@holdfast/test-servers';
import { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

const server = useRedis();
let cluster: TestCluster | undefined;
beforeAll(async () => {
  cluster = await startRedisCluster(redisBinary());
}, 40_000);
afterAll(() => cluster?.stop());

/** Stores of processes that share one server. */
const stores: Record<string, () => () => LockStore> = {
  memory: () => {
    const store = memoryStore();
    return () => store;
  },
  Redis: () => () => {
    const client = new Redis(server.url);
    onTestFinished(() => client.disconnect());
    return redisStore(client);
  },
  'a Redis Cluster': () => () => {
    const nodes = cluster?.masters.map(({ host, port }) => ({ host, port })) ?? [];
    const client = new Cluster(nodes);
    onTestFinished(() => client.disconnect());
    return redisStore(client);
  },
};

let prefix = 0;

describe.each(Object.entries(stores))('on %s', { timeout: 60_000 }, (_, makeStores) => {
  /** Makes lockers as of processes of their own, and a key of the test's own. */
  function site() {
    const make = makeStores();
    const locker = (options: LockerOptions = {}): Locker => {
      const made = createLocker({ store: make(), ttl: 60_000, storeTimeout: 20_000, ...options });
      onTestFinished(() => made.close());
      return made;
    };
    return { locker, key: `several:${prefix++}` };
  }

  test('events tell of each permit: who waited, held, released and lost it', async () => {
    const { locker, key } = site();
    const one = locker();
    const told: unknown[][] = [];
    for (const event of ['waiting', 'acquired', 'released', 'lost', 'not-acquired'] as const) {
      one.on(event, (payload) => {
        const { reason } = payload as { reason?: string };
        told.push([event, payload.key, payload.owner, ...(reason === undefined ? [] : [reason])]);
      });
    }
    const first = await one.lock(key, { limit: 2 });
    const second = await one.lock(key, { limit: 2 });
    expect(await one.tryLock(key, { limit: 2 })).toBeNull();
    const third = one.lock(key, { limit: 2 });
    await until('it waits', () => told.some(([event]) => event === 'waiting'));
    await first.release();
    const { owner } = await third;
    await locker().forceRelease(key, { owner });
    await until('it is lost', () => told.some(([event]) => event === 'lost'));
    await second.release();
    expect(told.filter(([event]) => event !== 'waiting' && event !== 'not-acquired')).toEqual([
      ['acquired', key, first.owner],
      ['acquired', key, second.owner],
      ['released', key, first.owner],
      ['acquired', key, owner],
      ['lost', key, owner, 'forced'],
      ['released', key, second.owner],
    ]);
    expect(told.find(([event]) => event === 'not-acquired')?.at(-1)).toBe('busy');
  });

  test('inspect and list show all holders with their labels and tokens, and who waits', async () => {
    const { locker, key } = site();
    const one = locker({ label: 'one' });
    const first = await one.lock(key, { limit: 2 });
    const second = await locker({ label: 'two' }).lock(key, { limit: 2, owner: 'job' });
    const third = locker({ label: 'three' }).lock(key, { limit: 2 });
    const look = locker();
    await until('it waits', async () => (await look.inspect(key))?.waiters === 1);
    const holders = [
      { owner: first.owner, label: 'one', fencingToken: first.fencingToken },
      { owner: 'job', label: 'two', fencingToken: second.fencingToken },
    ];
    expect(await look.inspect(key)).toMatchObject({ key, holders, queue: [{ label: 'three' }] });
    const { locks } = await look.list({ prefix: key });
    expect(locks).toMatchObject([{ key, waiters: 1, holders }]);
    await first.release();
    await (await third).release();
    await second.release();
    expect(await look.inspect(key)).toBeNull();
    expect(await look.list({ prefix: key })).toEqual({ locks: [] });
  });

  test('holdAtLeast keeps the room of a permit, also when it is released before', async () => {
    const { locker, key } = site();
    const one = locker();
    const before = performance.now();
    const first = await one.lock(key, { limit: 2, holdAtLeast: 1_500 });
    const second = await one.lock(key, { limit: 2 });
    expect(await first.release()).toBe(true);
    const third = await locker().lock(key, { limit: 2 });
    // Never earlier, however slow the machine is.
    expect(performance.now() - before).toBeGreaterThan(1_490);
    await Promise.all([second.release(), third.release()]);
  });

  test('a request that comes behind its release takes no room twice', async () => {
    const store = makeStores()();
    const key = `several:${prefix++}`;
    const take = async (id: string): Promise<boolean> => {
      const who = { key, id, owner: id, label: '-', client: 'client', tokens: 1, wait: false };
      const sharing = { limit: 3, weight: 1, shared: false };
      return (await store.acquire({ ...who, ttl: 30_000, sharing })).granted;
    };
    expect([await take('one'), await take('two')]).toEqual([true, true]);
    expect(await store.release({ key, id: 'two', permit: true, keepFor: 500 })).toBe(true);
    // It was sent before, on a connection that was lost; taken back, it leaves what is kept.
    const again = await take('two');
    await store.release({ key, id: 'two', permit: true, keepFor: 500 });
    expect(await take('three')).toBe(true);
    while (!(await take('four'))) await sleep(50);
    expect([again, await take('five')]).toEqual([false, false]);
  });

  test('an owner takes its own permit over, past those who wait, and the older handle is told', async () => {
    const { locker, key } = site();
    const [one, other, look] = [locker(), locker(), locker()];
    const first = await one.lock(key, { limit: 2, owner: 'job', onLost: () => {} });
    const beside = await other.lock(key, { limit: 2 });
    const waiting = other.lock(key, { limit: 2 });
    await until('it waits', async () => (await look.inspect(key))?.waiters === 1);
    const second = await other.lock(key, { limit: 2, owner: 'job' });
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
    await until('the older is told', () => first.state === 'lost');
    expect(first.signal.reason).toMatchObject({ reason: 'superseded' });
    beside.assertHeld();
    await second.release();
    await (await waiting).release();
    await beside.release();
  });

  test.each([
    ['reads or not, past a writer who waits', [{}, { shared: true }, { shared: true }, {}], true],
    ['has a permit or not', [{ limit: 3 }, {}, { limit: 5, weight: 5 }, { limit: 2 }, {}], false],
  ])('an owner that comes back takes over what it has alone: %s', async (__, ways, contended) => {
    const { locker, key } = site();
    const [other, look] = [locker(), locker()];
    const take = (way: LockOptions): Promise<Lock> =>
      locker().lock(key, { ...way, owner: 'job', onLost: () => {} });
    let lock = await take({ shared: true });
    const waiting = contended ? other.lock(key) : undefined;
    const waiters = contended ? 1 : 0;
    for (const way of ways) {
      await until('it waits', async () => (await look.inspect(key))?.waiters === waiters);
      const { signal, fencingToken } = lock;
      lock = await take(way);
      expect(lock.fencingToken).toBeGreaterThan(fencingToken);
      await until('the older is told', () => signal.aborted);
      expect(signal.reason).toMatchObject({ reason: 'superseded' });
    }
    expect(await lock.release()).toBe(true);
    await (await waiting)?.release();
  });

  test('an owner that wants alone what others read too gives up its own share, and waits', async () => {
    const { locker, key } = site();
    const [one, two, other, look] = [locker(), locker(), locker(), locker()];
    const mine = { owner: 'job', onLost: () => {} };
    const first = await one.lock(key, { ...mine, shared: true });
    const reader = await other.lock(key, { shared: true });
    expect(await two.tryLock(key, mine)).toBeNull();
    await first.extend(60_000);
    expect(first.state).toBe('held');
    const alone = two.lock(key, mine);
    await until('it is told', () => first.state === 'lost');
    expect(first.signal.reason).toMatchObject({ reason: 'superseded' });
    await until('it waits', async () => (await look.inspect(key))?.waiters === 1);
    reader.assertHeld();
    await reader.release();
    await (await alone).release();
  });

  test('forceRelease ends one holder, or all, and serves those who wait', async () => {
    const { locker, key } = site();
    const [one, operator] = [locker(), locker()];
    const take = (): Promise<Lock> => one.lock(key, { limit: 2, onLost: () => {} });
    const [first, second] = [await take(), await take()];
    const third = take();
    await until('it waits', async () => (await operator.inspect(key))?.waiters === 1);
    expect(await operator.forceRelease(key, { owner: first.owner })).toBe(true);
    const next = await third;
    await until('it is told', () => first.state === 'lost');
    expect([second.state, next.state]).toEqual(['held', 'held']);
    expect(await operator.forceRelease(key)).toBe(true);
    await until('both are told', () => second.state === 'lost' && next.state === 'lost');
    expect(await operator.inspect(key)).toBeNull();
  });

  test('a list takes permits of several keys, readers beside writers, all or none', async () => {
    const { locker, key } = site();
    const [one, other] = [locker(), locker()];
    const keys = [`${key}:tenant`, `${key}:total`, `${key}:alone`];
    const held = await one.lock(keys, { limit: [2, 3, 1] });
    expect(keys.map((each) => held.tokenFor(each) > 0)).toEqual([true, true, true]);
    expect(await other.tryLock(keys, { limit: [2, 3, 1] })).toBeNull();
    // What it had taken of the others it has given back.
    const rest = { limit: [2, 3] };
    const beside = await other.lock(keys.slice(0, 2), rest);
    expect(await other.tryLock(keys.slice(0, 2), rest)).toBeNull();
    await held.release();
    await beside.release();
    for (const each of keys) expect(await one.inspect(each)).toBeNull();
  });

  test('a permit that is not renewed runs out alone', async () => {
    const { locker, key } = site();
    const crashed = locker({ ttl: 2_000, storeTimeout: undefined });
    await crashed.lock(key, { limit: 2, renew: false, onLost: () => {} });
    const other = locker();
    const held = await other.lock(key, { limit: 2 });
    const next = await other.lock(key, { limit: 2, wait: 20_000 });
    held.assertHeld();
    await Promise.all([held.release(), next.release()]);
  });
});
