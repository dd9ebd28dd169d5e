import assert from 'node:assert/strict';
import { MAX_TOKENS } from '@holdfast/core';
import type { CaseBody } from './kit.ts';

/** Granting, refusing, and knowing an acquisition again. */
export const acquireCases: Record<string, CaseBody> = {
  'a free key is granted, and then busy for others': async (bench) => {
    const key = bench.key();
    await bench.client().take(key);
    await bench.client().refused(key);
    await bench.client().refused(key);
  },

  'of many that ask at once one is granted': async (bench) => {
    const key = bench.key();
    const clients = Array.from({ length: 25 }, () => bench.client());
    const replies = await Promise.all(clients.map((client) => client.acquire(key)));
    assert.equal(replies.filter((reply) => reply.granted).length, 1);
  },

  'keys do not touch each other': async (bench) => {
    const client = bench.client();
    const names = ['a', 'A', 'a ', 'a:b', '{a}', '}a{', '{', 'a\nb', 'ä', '😀', '\ud800', '%', '~'];
    const long = 'x'.repeat(10_000);
    const suffix = bench.id();
    const keys = [...names, long, `${long}y`].map((name) => bench.stored(`${suffix}${name}`));
    assert.equal(new Set(keys).size, keys.length);
    for (const key of keys) await client.take(key);
    for (const key of keys) await client.refused(key);
  },

  'an acquisition that is asked again is granted once': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const first = await client.take(key);
    const again = await client.take(key, { id: first.id });
    assert.equal(again.token, first.token);
    assert.ok(again.tokens <= first.tokens);
    await bench.client().refused(key);
    assert.equal(await bench.release(key, first.id), true);
    await bench.client().take(key);
  },

  'an acquisition that is asked again is renewed by it': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const { id } = await client.take(key);
    await bench.sleep(bench.ttl * 0.6);
    await client.take(key, { id });
    await bench.sleep(bench.ttl * 0.6);
    await bench.client().refused(key);
  },

  'a grant lasts as long as promised, and not much longer': async (bench) => {
    const key = bench.key();
    const { store, ttl } = bench;
    const promised = store.leaseFor?.(ttl) ?? ttl;
    await bench.client().take(key);
    await bench.sleep(promised * 0.8);
    await bench.client().refused(key);
    await bench.sleep(promised * 0.2);
    await bench.outlive(Math.max(0, ttl - promised));
    await bench.client().take(key);
  },

  'a refusal says when the key could be free': async (bench) => {
    const key = bench.key();
    await bench.client().take(key);
    const { retryAfter } = await bench.client().refused(key);
    if (retryAfter === undefined) return;
    assert.ok(retryAfter > 0 && retryAfter <= bench.ttl + 1_000, `${retryAfter} ms`);
  },

  'an owner takes its own lock over at once': async (bench) => {
    const key = bench.key();
    const [before, after] = [bench.client(), bench.client()];
    const first = await before.take(key, { owner: 'task-7' });
    const second = await after.take(key, { owner: 'task-7' });
    if (bench.store.capabilities.fencing !== 'none') assert.ok(second.token > first.token);
    await bench.client().refused(key, { owner: 'task-8' });
    assert.equal(await bench.release(key, first.id), false);
    await bench.client().refused(key);
    assert.equal(await bench.release(key, second.id), true);
  },

  'a take-over is told to the older holder': async (bench) => {
    const key = bench.key();
    const before = bench.client();
    const first = await before.take(key, { owner: 'task-7' });
    await bench.client().take(key, { owner: 'task-7' });
    const told = await bench.renew(key, first.id, bench.ttl, 'task-7');
    if (!bench.store.capabilities.exactLoss) {
      assert.ok(told === 'superseded' || told === 'stolen');
      return;
    }
    assert.equal(told, 'superseded');
    if (bench.store.capabilities.wakeUp !== 'notify') return;
    await bench.until('the older holder is told', () => before.losses().length > 0);
    assert.deepEqual(before.losses(), [{ type: 'lost', key, id: first.id, reason: 'superseded' }]);
  },

  'a grant replaces an earlier one of the same client in one step': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const first = await client.take(key);
    const second = await client.take(key, { replaces: first.id, wait: true });
    assert.equal(second.replaced, true);
    if (bench.store.capabilities.fencing !== 'none') assert.ok(second.token > first.token);
    assert.equal(await bench.release(key, first.id), false);
    const third = await client.refused(key, { replaces: first.id });
    assert.equal(third.replaced, false);
  },

  'fencing tokens grow with every grant, whole blocks of them': async (bench) => {
    const { fencing } = bench.store.capabilities;
    const key = bench.key();
    let last = 0;
    const check = (token: number, tokens: number, asked: number): void => {
      if (fencing === 'none') {
        assert.equal(token, 0);
        return;
      }
      assert.ok(Number.isSafeInteger(token) && Number.isSafeInteger(token + tokens));
      assert.ok(tokens >= 1 && tokens <= asked, `${tokens} of ${asked} tokens`);
      assert.ok(token > last, `${token} after ${last}`);
      last = token + tokens - 1;
    };
    for (const tokens of [1, 17, MAX_TOKENS, 1]) {
      const reply = await bench.client().take(key, { tokens });
      check(reply.token, reply.tokens, tokens);
      await bench.release(key, reply.id);
    }
    const expired = await bench.client().take(key, { tokens: 5 });
    check(expired.token, expired.tokens, 5);
    await bench.outlive();
    const forced = await bench.client().take(key, { tokens: 5 });
    check(forced.token, forced.tokens, 5);
    await bench.store.forceRelease(key);
    const next = await bench.client().take(key);
    check(next.token, next.tokens, 1);
  },
};
