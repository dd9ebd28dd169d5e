import assert from 'node:assert/strict';
import type { CaseBody } from './kit.ts';

/** What operators see and do. */
export const operatorCases: Record<string, CaseBody> = {
  'a free key shows nobody': async (bench) => {
    assert.equal(await bench.store.inspect({ key: bench.key(), client: '' }), null);
  },

  'a held key shows its holder, and looking changes nothing': async (bench) => {
    const key = bench.key();
    const grant = await bench.client().take(key, { owner: 'task-7', label: 'host:1' });
    for (let look = 0; look < 2; look++) {
      const info = await bench.store.inspect({ key, client: '' });
      assert.ok(info !== null);
      assert.equal(info.owner, 'task-7');
      assert.equal(info.fencingToken, grant.token);
      if (info.label !== '') assert.equal(info.label, 'host:1');
      const { remaining } = info;
      assert.ok(remaining === undefined || (remaining > 0 && remaining <= bench.ttl + 1_000));
    }
    await bench.outlive();
    assert.equal(await bench.store.inspect({ key, client: '' }), null);
  },

  'a forced release frees the key and tells its holder': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const { id } = await client.take(key);
    assert.equal(await bench.store.forceRelease(key), true);
    assert.equal(await bench.held(key), false);
    const { exactLoss, wakeUp } = bench.store.capabilities;
    const told = await bench.renew(key, id);
    assert.equal(told, exactLoss ? 'forced' : 'evicted');
    if (!exactLoss || wakeUp !== 'notify') return;
    await bench.until('the holder is told', () => client.losses().length > 0);
    assert.deepEqual(client.losses(), [{ type: 'lost', key, id, reason: 'forced' }]);
  },

  'a forced release of a free key does nothing': async (bench) => {
    const key = bench.key();
    assert.equal(await bench.store.forceRelease(key), false);
    assert.equal(await bench.held(key), false);
  },

  'who has unsubscribed is told nothing more': async (bench) => {
    const key = bench.key();
    const told: unknown[] = [];
    const id = bench.id();
    const end = bench.store.subscribe(id, (event) => told.push(event));
    await bench.client().take(key, { client: id });
    await end();
    // Until then it may have been told of a new connection.
    told.length = 0;
    await bench.store.forceRelease(key);
    await bench.sleep(50);
    assert.deepEqual(told, []);
  },
};
