import assert from 'node:assert/strict';
import { REGISTRATION, RESERVATION } from '@holdfast/core';
import type { Bench, CaseBody, TestClient } from './kit.ts';

/** Registers clients one after the other behind a holder. */
async function lineUp(
  bench: Bench,
  key: string,
  count: number,
): Promise<{ holder: string; waiting: TestClient[] }> {
  const { id } = await bench.client().take(key, { ttl: 60_000 });
  const waiting = Array.from({ length: count }, () => bench.client());
  for (const client of waiting) await client.refused(key, { wait: true });
  return { holder: id, waiting };
}

/** Keeps these clients' registrations alive while `ms` pass. */
async function stayAlive(
  bench: Bench,
  key: string,
  clients: TestClient[],
  ms: number,
): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    for (const { id } of clients) await bench.store.refresh?.(id, [key]);
    await bench.sleep(250);
  }
}

/** The queue of a store that can wake its waiters (specification 6.2). */
export const queueCases: Record<string, CaseBody> = {
  'a release wakes the first that waits, and nobody else': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 3);
    const [first] = waiting as [TestClient];
    await bench.release(key, holder);
    await bench.until('the first is woken', () => first.woken(key) > 0);
    await bench.sleep(100);
    assert.deepEqual(
      waiting.map((client) => client.woken(key)),
      [1, 0, 0],
    );
  },

  'a woken client holds only when it has asked, and nobody comes before it': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 2);
    const [first, second] = waiting as [TestClient, TestClient];
    await bench.release(key, holder);
    assert.equal(await bench.held(key), false);
    await bench.client().refused(key);
    await second.refused(key, { wait: true });
    await bench.client().refused(key, { wait: true });
    await first.take(key, { wait: true });
  },

  'clients are served in the order of their coming': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 5);
    let id = holder;
    for (const client of waiting) {
      await bench.release(key, id);
      await bench.until('it is woken', () => client.woken(key) > 0);
      ({ id } = await client.take(key, { wait: true }));
    }
    await bench.release(key, id);
    await bench.client().take(key);
  },

  'asking again and refreshing keep a place': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 2);
    const [first, second] = waiting as [TestClient, TestClient];
    await second.refused(key, { wait: true });
    await first.refused(key, { wait: true });
    await bench.store.refresh?.(second.id, [key]);
    await bench.store.refresh?.(first.id, [key]);
    await bench.release(key, holder);
    await bench.until('the first is woken', () => first.woken(key) > 0);
    await second.refused(key, { wait: true });
  },

  'a single attempt does not overtake': async (bench) => {
    const key = bench.key();
    const { holder } = await lineUp(bench, key, 1);
    await bench.release(key, holder);
    await bench.client().refused(key, { wait: false });
  },

  'an owner takes its own lock over past the queue': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    await client.take(key, { owner: 'task-7' });
    const waiting = bench.client();
    await waiting.refused(key, { wait: true });
    const { id } = await bench.client().take(key, { owner: 'task-7' });
    await bench.release(key, id);
    await bench.until('the queue is as before', () => waiting.woken(key) > 0);
  },

  'a reservation that is not used passes to the next': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 2);
    const [, second] = waiting as [TestClient, TestClient];
    await bench.release(key, holder);
    await bench.sleep(RESERVATION + 50);
    await second.take(key, { wait: true });
  },

  'a reservation for a client that leaves passes on at once': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 2);
    const [first, second] = waiting as [TestClient, TestClient];
    await bench.release(key, holder);
    await bench.store.leave?.(first.id, key);
    await bench.until('the second is woken', () => second.woken(key) > 0);
    await second.take(key, { wait: true });
  },

  'a client that has left is not woken': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 2);
    const [first, second] = waiting as [TestClient, TestClient];
    await bench.store.leave?.(first.id, key);
    await bench.release(key, holder);
    await bench.until('the second is woken', () => second.woken(key) > 0);
    assert.equal(first.woken(key), 0);
  },

  'a registration that is not refreshed runs out': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 2);
    const [first, second] = waiting as [TestClient, TestClient];
    await stayAlive(bench, key, [second], REGISTRATION + 250);
    await bench.release(key, holder);
    await bench.until('the second is woken', () => second.woken(key) > 0);
    assert.equal(first.woken(key), 0);
  },

  'dead waiters delay the next live one by two seconds at most': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 8);
    const live = waiting.at(-1) as TestClient;
    await bench.release(key, holder);
    let granted = false;
    for (let waited = 0; waited < 2_000 && !granted; waited += 100) {
      await bench.sleep(100);
      granted = (await live.acquire(key, { wait: true })).granted;
    }
    assert.ok(granted, 'not within two seconds');
  },

  'a refresh says when to ask': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 1);
    const [first] = waiting as [TestClient];
    const [later] = (await bench.store.refresh?.(first.id, [key])) ?? [];
    assert.ok(typeof later === 'number' && later > 1_000, `${String(later)} ms`);
    await bench.release(key, holder);
    const [now] = (await bench.store.refresh?.(first.id, [key])) ?? [];
    assert.equal(now, 0);
    await first.take(key, { wait: true });
  },

  'a refresh moves the queue on when a holder has crashed': async (bench) => {
    const key = bench.key();
    await bench.client().take(key);
    const [first, second] = [bench.client(), bench.client()];
    await first.refused(key, { wait: true });
    await second.refused(key, { wait: true });
    await bench.until('the first is woken', async () => {
      for (const { id } of [first, second]) await bench.store.refresh?.(id, [key]);
      return first.woken(key) > 0;
    });
    bench.heldUp = false;
    await second.refused(key, { wait: true });
    await first.take(key, { wait: true });
  },

  'a refresh registers whom the store has forgotten': async (bench) => {
    const key = bench.key();
    const { holder, waiting } = await lineUp(bench, key, 1);
    const [first] = waiting as [TestClient];
    await bench.store.leave?.(first.id, key);
    await bench.store.refresh?.(first.id, [key]);
    await bench.release(key, holder);
    await bench.until('it is woken', () => first.woken(key) > 0);
  },

  'a grant that replaces another serves those who wait first, and then itself': async (bench) => {
    const key = bench.key();
    const passing = bench.client();
    const { id } = await passing.take(key);
    const waiting = bench.client();
    await waiting.refused(key, { wait: true });
    const reply = await passing.refused(key, { wait: true, replaces: id });
    assert.equal(reply.replaced, true);
    await bench.until('the other is woken', () => waiting.woken(key) > 0);
    const next = await waiting.take(key, { wait: true });
    await bench.release(key, next.id);
    await bench.until('it is its turn', () => passing.woken(key) > 0);
    await passing.take(key, { wait: true });
  },

  'a forced release serves the next': async (bench) => {
    const key = bench.key();
    const { waiting } = await lineUp(bench, key, 1);
    const [first] = waiting as [TestClient];
    await bench.store.forceRelease(key);
    await bench.until('it is woken', () => first.woken(key) > 0);
    await first.take(key, { wait: true });
  },

  'those who wait are counted': async (bench) => {
    const key = bench.key();
    const { waiting } = await lineUp(bench, key, 3);
    const [first] = waiting as [TestClient];
    assert.equal((await bench.store.inspect({ key, client: '' }))?.waiters, 3);
    assert.equal((await bench.store.inspect({ key, client: first.id }))?.waiters, 2);
  },
};
