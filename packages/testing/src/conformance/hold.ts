import assert from 'node:assert/strict';
import type { CaseBody } from './kit.ts';

/** Renewing and releasing. */
export const holdCases: Record<string, CaseBody> = {
  'a renewal prolongs a grant': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key);
    for (let round = 0; round < 3; round++) {
      await bench.sleep(bench.ttl * 0.6);
      assert.equal(await bench.renew(key, id), 'renewed');
    }
    await bench.client().refused(key);
  },

  'a renewal never shortens a grant': async (bench) => {
    const key = bench.key();
    const long = bench.ttl * 4;
    const { id } = await bench.client().take(key, { ttl: long });
    assert.equal(await bench.renew(key, id, bench.ttl), 'renewed');
    await bench.outlive(bench.ttl);
    await bench.client().refused(key);
  },

  'a check does not prolong a grant': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key);
    await bench.sleep(bench.ttl * 0.5);
    assert.equal(await bench.renew(key, id, 0), 'renewed');
    await bench.outlive(bench.ttl * 0.5);
    await bench.client().take(key);
  },

  'a grant that is gone is not renewed, and not made anew': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key);
    await bench.outlive();
    assert.equal(await bench.renew(key, id), 'evicted');
    assert.equal(await bench.held(key), false);
    await bench.client().take(key);
    assert.equal(await bench.renew(key, id), 'stolen');
  },

  'a released grant is not renewed': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key);
    await bench.release(key, id);
    assert.equal(await bench.renew(key, id), 'evicted');
    assert.equal(await bench.held(key), false);
  },

  'many grants are renewed in one call, each with its own answer': async (bench) => {
    const client = bench.client();
    const keys = Array.from({ length: 600 }, () => bench.key());
    const grants = await Promise.all(keys.map((key) => client.take(key)));
    await bench.release(keys[1] as string, grants[1]?.id ?? '');
    await bench.release(keys[2] as string, grants[2]?.id ?? '');
    await client.take(keys[2] as string);
    const requests = keys.map((key, index) => {
      const id = grants[index]?.id ?? '';
      return { key, id, owner: id, ttl: bench.ttl * 5 };
    });
    const replies = await bench.store.renew(requests);
    const expected = keys.map((_, index) => ['renewed', 'evicted', 'stolen'][index] ?? 'renewed');
    assert.deepEqual(replies, expected);
  },

  'grants of one call are renewed for a ttl each': async (bench) => {
    const ttls = [bench.ttl * 4, 0, bench.ttl * 8, bench.ttl * 4];
    const grants = await Promise.all(
      ttls.map(async (ttl) => {
        const key = bench.key();
        const { id } = await bench.client().take(key);
        return { key, id, owner: id, ttl };
      }),
    );
    const replies = await bench.store.renew(grants);
    assert.deepEqual(
      replies,
      ttls.map(() => 'renewed'),
    );
    await bench.outlive(bench.ttl);
    const [first, checked, other, last] = grants.map(({ key }) => key) as [
      string,
      string,
      string,
      string,
    ];
    for (const key of [first, other, last]) await bench.client().refused(key);
    await bench.client().take(checked);
  },

  'a release frees the key, once': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key);
    assert.equal(await bench.release(key, id), true);
    assert.equal(await bench.held(key), false);
    assert.equal(await bench.release(key, id), false);
  },

  'a late release does not free the next holder': async (bench) => {
    const key = bench.key();
    const late = await bench.client().take(key);
    await bench.outlive();
    const next = await bench.client().take(key);
    assert.equal(await bench.release(key, late.id), false);
    await bench.client().refused(key);
    assert.equal(await bench.renew(key, next.id), 'renewed');
  },

  'races of a late release against a new holder': async (bench) => {
    for (let round = 0; round < 50; round++) {
      const key = bench.key();
      const first = await bench.client().take(key);
      const [, reply] = await Promise.all([
        bench.release(key, first.id),
        bench.client().acquire(key, { id: `next-${first.id}` }),
        bench.release(key, first.id),
      ]);
      await bench.release(key, first.id);
      if (reply.granted) assert.equal(await bench.renew(key, `next-${first.id}`), 'renewed');
    }
  },

  'a release can leave the key busy for a while, for everybody': async (bench) => {
    const key = bench.key();
    const keepFor = bench.ttl;
    const { id } = await bench.client().take(key, { owner: 'task-7', ttl: bench.ttl * 10 });
    assert.equal(await bench.release(key, id, keepFor), true);
    await bench.client().refused(key);
    await bench.client().refused(key, { owner: 'task-7' });
    assert.notEqual(await bench.renew(key, id, bench.ttl * 10, 'task-7'), 'renewed');
    await bench.outlive(keepFor);
    await bench.client().take(key);
  },

  'a release can keep the key busy for longer than its lease': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key);
    await bench.release(key, id, bench.ttl * 4);
    await bench.outlive(bench.ttl);
    await bench.client().refused(key);
  },
};
