import { createLocker, storedKey, type MaybePromise } from '@holdfast/core';
import { expect, test } from 'vitest';
import {
  processOf,
  requestOf,
  SLOW,
  worldOf,
  type Process,
  type World,
} from './quorum-simulation.ts';

// What comes late, comes back, or comes in another order.

type Node = Process['nodes'][number];

const holders = ({ servers }: World): Promise<(string | undefined)[]> =>
  Promise.all(servers.map((server) => server.holder('key')));

/** Lets time pass until a promise has settled. */
async function settled<T>(
  clock: World['clock'],
  promise: MaybePromise<T>,
  ms = 10_000,
): Promise<T | Error> {
  const result = Promise.resolve(promise).catch((error: unknown) => error as Error);
  await clock.advance(ms);
  return result;
}

test('a lease that is over is not granted, however patient one is', async () => {
  const world = worldOf(3);
  const { nodes, store } = processOf(world, 5_000);
  for (const node of nodes) node.mode = 'slow';
  const short = requestOf('mine', { ttl: SLOW });
  expect(await settled(world.clock, store.acquire(short))).toMatchObject({
    message: 'The lock was granted too late to be used safely.',
  });
  expect(await settled(world.clock, store.acquire(requestOf('next')))).toMatchObject({
    granted: true,
  });
});

test('a renewal that took as long as its lease renews nothing', async () => {
  const world = worldOf(3);
  const { nodes, store } = processOf(world, 5_000);
  await settled(world.clock, store.acquire(requestOf('mine', { ttl: 60_000 })));
  for (const node of nodes) node.mode = 'slow';
  const renewal = { key: 'key', id: 'mine', owner: 'mine', ttl: SLOW };
  expect(await settled(world.clock, store.renew([renewal]))).toEqual([expect.any(Error)]);
});

test('servers that are not connected have failed at once', async () => {
  const world = worldOf(3);
  const { nodes, store } = processOf(world);
  const [first, second] = nodes as [Node, Node, Node];
  first.disconnect();
  second.disconnect();
  // No time passes here.
  await expect(store.acquire(requestOf('mine'))).rejects.toMatchObject({
    code: 'LOCK_STORE_UNAVAILABLE',
    permanent: false,
    phase: 'acquire',
  });
  await expect(store.inspect({ key: 'key', client: '' })).rejects.toMatchObject({
    phase: 'inspect',
  });
  await expect(store.forceRelease('key')).rejects.toMatchObject({ phase: 'force-release' });
});

test('a release on a server that has lost its connection is made when it is back', async () => {
  const world = worldOf(3);
  const { nodes, store } = processOf(world);
  store.subscribe('client', () => {});
  const [first] = nodes as [Node];
  await settled(world.clock, store.acquire(requestOf('mine', { ttl: 60_000 })));
  first.disconnect();
  expect(await settled(world.clock, store.release({ key: 'key', id: 'mine' }))).toBe(true);
  expect(await holders(world)).toEqual(['mine', undefined, undefined]);
  first.reconnect();
  await world.clock.advance(5);
  expect(await holders(world)).toEqual([undefined, undefined, undefined]);
});

test('a grant that arrives after its release is taken back', async () => {
  const world = worldOf(3);
  const { nodes, store } = processOf(world);
  const [first] = nodes as [Node];
  first.latency = 250;
  const reply = store.acquire(requestOf('mine', { ttl: 60_000 }));
  await world.clock.advance(5);
  expect(await reply).toMatchObject({ granted: true });
  // As when the server did not know the script: the request to acquire has to be sent again.
  first.latency = 1;
  const freed = store.release({ key: 'key', id: 'mine' });
  await world.clock.advance(5);
  expect(await freed).toBe(true);
  await world.clock.advance(247);
  expect(await holders(world)).toEqual([undefined, undefined, undefined]);
  expect(store.acquisitions.size).toBe(0);
});

test('a release while an acquisition is under way ends it', async () => {
  const world = worldOf(3);
  const { store } = processOf(world);
  const reply = settled(world.clock, store.acquire(requestOf('mine', { wait: false })));
  await Promise.resolve();
  await store.release({ key: 'key', id: 'mine' }).catch(() => {});
  expect(await reply).toBeInstanceOf(Error);
  await world.clock.advance(2_000);
  expect(await holders(world)).toEqual([undefined, undefined, undefined]);
});

/** A lock of 1 s on three servers. */
async function heldLock() {
  const world = worldOf(3);
  const { clock } = world;
  const { nodes, store } = processOf(world);
  const locker = createLocker({ store, clock });
  const acquired = locker.lock('key', { ttl: 1_000 });
  await clock.advance(10);
  return { world, clock, nodes, locker, lock: await acquired };
}

test('a lock outlives servers that forget, one after the other', async () => {
  const { world, clock, nodes, locker, lock } = await heldLock();
  const stored = storedKey('holdfast', 'key');
  for (const [index, { store: memory }] of world.servers.entries()) {
    const node = nodes[index] as Node;
    node.disconnect();
    await memory.release({ key: stored, id: lock.owner });
    await clock.advance(1_000);
    node.reconnect();
    await clock.advance(1_000);
    expect(lock.signal.reason).toBeUndefined();
  }
  void lock.release();
  await clock.advance(10);
  void locker.close();
});

test('a lock is lost in time when a majority is away', async () => {
  const { clock, nodes, locker, lock } = await heldLock();
  for (const node of nodes.slice(1)) node.mode = 'hanging';
  await clock.advance(1_000);
  expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
  void lock.release();
  void locker.close();
});

test('a take-over and a forced release are told exactly', async () => {
  const world = worldOf(3);
  const { clock } = world;
  const [before, after] = [processOf(world), processOf(world)];
  const request = requestOf('one', { owner: 'task', ttl: 60_000 });
  const renewal = { key: 'key', owner: 'task', ttl: 60_000 };
  await settled(clock, before.store.acquire(request), 10);
  await settled(clock, after.store.acquire({ ...request, id: 'two' }), 10);
  const [told, forced] = [
    before.store.renew([{ ...renewal, id: 'one' }]),
    settled(clock, after.store.forceRelease('key')),
  ];
  expect(await settled(clock, told, 10)).toEqual(['superseded']);
  expect(await forced).toBe(true);
  expect(await settled(clock, after.store.renew([{ ...renewal, id: 'two' }]))).toEqual(['forced']);
});

test('what is held and never released is forgotten when it is over', async () => {
  const world = worldOf(3);
  const { clock } = world;
  const { store } = processOf(world);
  for (let round = 0; round < 6; round++) {
    const replies = Array.from({ length: 500 }, (_, index) =>
      store.acquire(requestOf(`${round}-${index}`, { key: `key-${round}-${index}` })),
    );
    await clock.advance(5);
    await Promise.all(replies);
    await clock.advance(2_000);
  }
  expect(store.acquisitions.size).toBeLessThanOrEqual(1_500);
});

test('the end of an attempt does not end the next one', async () => {
  const world = worldOf(3);
  const { clock, servers } = world;
  const { nodes, store } = processOf(world);
  const [first] = nodes as [Node];
  const others = servers.slice(1).map((server) => server.store);
  const attempt = (ms: number) => settled(clock, store.acquire(requestOf('mine')), ms);
  for (const other of others) await other.acquire(requestOf('other', { ttl: 60_000 }));
  const refused = store.acquire(requestOf('mine'));
  await clock.advance(0.5);
  // What is sent from now on overtakes the request to end the first attempt.
  first.latency = 40;
  await clock.advance(5);
  expect(await refused).toMatchObject({ granted: false });
  first.latency = 1;
  await others[0]?.release({ key: 'key', id: 'other' });
  expect(await attempt(100)).toMatchObject({ granted: true });
  expect(await holders(world)).toEqual(['mine', 'mine', 'other']);
});

test('an attempt whose end has failed is ended before the next one', async () => {
  const world = worldOf(3);
  const { clock, servers } = world;
  const { nodes, store } = processOf(world);
  const [first] = nodes as [Node];
  const others = servers.slice(1).map((server) => server.store);
  for (const other of others) await other.acquire(requestOf('other', { ttl: 60_000 }));
  const refused = store.acquire(requestOf('mine', { ttl: 60_000 }));
  await clock.advance(0.5);
  first.mode = 'failing';
  await clock.advance(5);
  expect(await refused).toMatchObject({ granted: false });
  first.mode = 'up';
  await others[0]?.release({ key: 'key', id: 'other' });
  const again = await settled(clock, store.acquire(requestOf('mine', { ttl: 60_000 })), 5);
  expect(again).toMatchObject({ granted: false });
  await clock.advance(100);
  expect(await holders(world)).toEqual([undefined, undefined, 'other']);
  await settled(clock, store.acquire(requestOf('mine', { ttl: 60_000 })), 5);
  expect(await holders(world)).toEqual(['mine', 'mine', 'other']);
});
