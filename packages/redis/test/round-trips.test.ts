import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { expect, test } from 'vitest';
import { Bench, calls } from './kit.ts';
import { recorded } from './recorded-store.ts';

const server = useRedis();
const bench = new Bench(() => server.url);

/** Past what happens only once: the server learns the scripts and is asked for its eviction policy. */
async function warmUp(locker: ReturnType<Bench['locker']>): Promise<void> {
  const lock = await locker.lock('warm-up');
  await locker.tryLock('warm-up');
  await lock.extend();
  await lock.release();
}

test('a free lock takes one request, and its release another', async () => {
  const admin = bench.client();
  const locker = bench.locker();
  await warmUp(locker);
  const before = await calls(admin);
  const lock = await locker.lock('round-trips:free');
  expect((await calls(admin)) - before).toBe(1);
  expect(lock.fencingToken).toBeGreaterThan(0);
  expect(await lock.release()).toBe(true);
  expect((await calls(admin)) - before).toBe(2);
});

test('a refusal takes one request, with a place in the queue', async () => {
  const admin = bench.client();
  const [holder, waiting] = [bench.locker(), bench.locker()];
  await warmUp(holder);
  const contend = async (key: string): Promise<number> => {
    const lock = await holder.lock(key);
    const before = await calls(admin);
    const waits = new Promise((resolve) => waiting.on('waiting', resolve));
    const taken = waiting.lock(key);
    await waits;
    const count = (await calls(admin)) - before;
    expect(await holder.inspect(key)).toMatchObject({ waiters: 1 });
    await lock.release();
    await (await taken).release();
    return count;
  };
  // With the first wait messages begin to arrive, and what was missed until then is looked up.
  await contend('round-trips:first');
  expect(await contend('round-trips:busy')).toBe(1);
});

test('acquisitions and releases of one tick go together', async () => {
  const admin = bench.client();
  const locker = bench.locker();
  await warmUp(locker);
  const keys = Array.from({ length: 64 }, (_, index) => `round-trips:tick:${index}`);
  const before = await calls(admin);
  const locks = await Promise.all(keys.map((key) => locker.lock(key)));
  await Promise.all(locks.map((lock) => lock.release()));
  // Nothing was under way: the first went at once, and the 63 after it by sixteens.
  expect((await calls(admin)) - before).toBeLessThanOrEqual(10);
});

test('a permit that passes to the next of the process takes three requests at most', async () => {
  const admin = bench.client();
  const locker = bench.locker();
  await warmUp(locker);
  const task = () => locker.withLock('round-trips:permits', { limit: 5 }, () => {});
  await Promise.all(Array.from({ length: 10 }, task));
  const before = await calls(admin);
  await Promise.all(Array.from({ length: 100 }, task));
  // Its release, the grant to the next, and the place in line of the one after that.
  expect((await calls(admin)) - before).toBeLessThanOrEqual(310);
});

test('a hand-off within the process takes none', async () => {
  const admin = bench.client();
  const locker = bench.locker();
  await warmUp(locker);
  const before = await calls(admin);
  const first = await locker.lock('round-trips:handoff');
  const others = Array.from({ length: 50 }, () => locker.withLock('round-trips:handoff', () => {}));
  await first.release();
  await Promise.all(others);
  expect((await calls(admin)) - before).toBeLessThanOrEqual(5);
});

test.each([
  ['locks', (locker: Locker, index: number) => locker.lock(`round-trips:renew:${index}`)],
  ['permits', (locker: Locker) => locker.lock('round-trips:renew', { limit: 1_000 })],
])('all renewals of %s that are due take one request per 200', async (_, take) => {
  const admin = bench.client();
  const { store, renewedTogether } = recorded(redisStore(bench.client()));
  const locker = createLocker({ store, ttl: 6_000 });
  bench.onEnd(() => locker.close());
  await warmUp(locker);
  const wishes = Array.from({ length: 1_000 }, (_wish, index) => take(locker, index));
  const locks = await Promise.all(wishes);
  const before = await calls(admin);
  let renewed = 0;
  locker.on('renewed', () => (renewed += 1));
  await expect.poll(() => renewed, { timeout: 45_000 }).toBeGreaterThanOrEqual(3_000);
  // And once more, to look up what messages were missed before they arrived; at first by name, then
  // by text, because the server does not know that script yet.
  // On a machine that stood still not all are due at once, nor answered in time.
  const needed = renewedTogether.reduce((sum, grants) => sum + Math.ceil(grants / 200), 0);
  expect((await calls(admin)) - before).toBeLessThanOrEqual(needed + 10);
  expect(Math.max(...renewedTogether)).toBeGreaterThan(200);
  await Promise.all(locks.map((lock) => lock.release()));
});

test('what is held is lost by one more request, which tells why', async () => {
  const admin = bench.client();
  const locker = bench.locker();
  const lock = await locker.lock('round-trips:why');
  await admin.del('{holdfast:round-trips:why}');
  await expect(lock.extend()).rejects.toMatchObject({ reason: 'evicted' });
});
