import assert from 'node:assert/strict';
import {
  RESERVATION,
  type AcquireReply,
  type ListedGrant,
  type RenewReply,
  type Sharing,
} from '@holdfast/core';
import type { Bench, CaseBody, TestClient } from './kit.ts';

const permit = (limit: number, weight = 1): { sharing: Sharing } => ({
  sharing: { limit, weight, shared: false },
});
const reader = { sharing: { limit: 1, weight: 1, shared: true } };
/** For the key alone. */
const writer = { sharing: undefined };

async function release(bench: Bench, key: string, id: string, keepFor?: number): Promise<boolean> {
  return bench.store.release({ key, id, keepFor, permit: true });
}

async function renew(bench: Bench, key: string, id: string, ttl: number): Promise<RenewReply> {
  const [reply] = await bench.store.renew([{ key, id, owner: id, ttl, permit: true }]);
  assert.ok(reply !== undefined, 'every renewal has an answer');
  return reply;
}

function conflictOf(reply: AcquireReply): number | undefined {
  assert.ok(!reply.granted, 'it should have been refused');
  return reply.conflict;
}

async function woken(bench: Bench, key: string, client: TestClient): Promise<void> {
  await bench.until('it is woken', () => client.woken(key) > 0);
}

/** A store that lets several hold a key: specification 6.5. */
export const permitCases: Record<string, CaseBody> = {
  'as many hold a key as its limit says': async (bench) => {
    const key = bench.key();
    const tokens: number[] = [];
    for (let held = 0; held < 3; held++) {
      tokens.push((await bench.client().take(key, permit(3))).token);
    }
    assert.equal(conflictOf(await bench.client().acquire(key, permit(3))), undefined);
    assert.deepEqual(
      tokens,
      [...new Set(tokens)].toSorted((a, b) => a - b),
    );
  },

  'weights add up to no more than the limit': async (bench) => {
    const key = bench.key();
    await bench.client().take(key, permit(5, 3));
    await bench.client().refused(key, permit(5, 3));
    await bench.client().take(key, permit(5, 2));
    await bench.client().refused(key, permit(5));
  },

  'a grant tells how much weight still fits beside it': async (bench) => {
    const key = bench.key();
    const first = await bench.client().take(key, permit(5, 2));
    assert.equal(first.room, 3);
    await bench.client().refused(key, { ...permit(5, 5), wait: true });
    await release(bench, key, first.id);
  },

  'an acquisition of a permit that is asked again is granted once': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const { id, token } = await client.take(key, permit(2));
    const again = await client.take(key, { ...permit(2), id });
    assert.equal(again.token, token);
    await bench.client().take(key, permit(2));
    await bench.client().refused(key, permit(2));
  },

  'each permit has a lease of its own': async (bench) => {
    const key = bench.key();
    const short = await bench.client().take(key, permit(2));
    const long = await bench.client().take(key, { ...permit(2), ttl: bench.ttl * 4 });
    await bench.outlive();
    assert.notEqual(await renew(bench, key, short.id, bench.ttl), 'renewed');
    assert.equal(await renew(bench, key, long.id, bench.ttl * 4), 'renewed');
    await bench.client().take(key, permit(2));
    await bench.client().refused(key, permit(2));
  },

  'a renewed permit lasts on': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key, permit(2, 2));
    await bench.sleep(bench.ttl * 0.6);
    assert.equal(await renew(bench, key, id, bench.ttl), 'renewed');
    await bench.sleep(bench.ttl * 0.6);
    assert.equal(await renew(bench, key, id, 0), 'renewed');
    await bench.client().refused(key, permit(2));
  },

  'a permit is released once, and only by its id': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key, permit(2));
    await bench.client().take(key, permit(2));
    assert.equal(await release(bench, key, bench.id()), false);
    assert.equal(await release(bench, key, id), true);
    assert.equal(await release(bench, key, id), false);
    await bench.client().take(key, permit(2));
    await bench.client().refused(key, permit(2));
  },

  'a permit that is kept takes up room until then': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key, permit(2));
    await bench.client().take(key, { ...permit(2), ttl: 60_000 });
    assert.equal(await release(bench, key, id, 500), true);
    await bench.client().refused(key, permit(2));
    await bench.sleep(600);
    await bench.client().take(key, permit(2));
  },

  'another limit is a conflict, and both are told': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const { id } = await client.take(key, permit(3));
    assert.equal(conflictOf(await bench.client().acquire(key, permit(4))), 3);
    assert.equal(conflictOf(await bench.client().acquire(key, writer)), 3);
    assert.equal(conflictOf(await bench.client().acquire(key, { ...reader, wait: true })), 3);
    await release(bench, key, id);
    await client.take(key);
    assert.equal(conflictOf(await bench.client().acquire(key, permit(4))), 1);
  },

  'a conflict leaves nobody in the queue': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key, permit(3));
    conflictOf(await bench.client().acquire(key, { ...permit(4), wait: true }));
    conflictOf(await bench.client().acquire(key, { ...writer, wait: true }));
    assert.equal((await bench.store.inspect({ key, client: '' }))?.waiters, 0);
    await release(bench, key, id);
    await bench.client().take(key);
  },

  'the last to leave takes the limit with it': async (bench) => {
    const key = bench.key();
    const first = await bench.client().take(key, permit(2));
    const second = await bench.client().take(key, permit(2));
    await release(bench, key, first.id);
    assert.equal(conflictOf(await bench.client().acquire(key, permit(5))), 2);
    await release(bench, key, second.id);
    assert.equal(await bench.held(key), false);
    await bench.client().take(key, permit(5));
  },

  'a limit ends with the last lease': async (bench) => {
    const key = bench.key();
    await bench.client().take(key, permit(2));
    await bench.outlive();
    await bench.client().take(key, permit(5));
  },

  'a heavy one that waits is not overtaken': async (bench) => {
    const key = bench.key();
    const first = await bench.client().take(key, permit(3));
    const second = await bench.client().take(key, permit(3));
    const [heavy, light] = [bench.client(), bench.client()];
    await heavy.refused(key, { ...permit(3, 3), wait: true });
    await bench.client().refused(key, permit(3));
    await light.refused(key, { ...permit(3), wait: true });
    await release(bench, key, first.id);
    await light.refused(key, { ...permit(3), wait: true });
    await release(bench, key, second.id);
    await woken(bench, key, heavy);
    await light.refused(key, { ...permit(3), wait: true });
    await heavy.take(key, { ...permit(3, 3), wait: true });
  },

  'all who fit are woken, and nobody else gets a permit': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key, { ...permit(3, 3), ttl: 60_000 });
    const waiting = [bench.client(), bench.client(), bench.client(), bench.client()];
    for (const client of waiting) await client.refused(key, { ...permit(3), wait: true });
    await release(bench, key, id);
    // Where there is one reservation at first, those behind it are woken when it is used.
    await woken(bench, key, waiting[0] as TestClient);
    await waiting[0]?.take(key, { ...permit(3), wait: true, ttl: 60_000 });
    for (const client of waiting.slice(1, 3)) {
      await woken(bench, key, client);
      await client.take(key, { ...permit(3), wait: true, ttl: 60_000 });
    }
    // It may have been woken, for a wake-up is a hint, but there is no room for it.
    await waiting[3]?.refused(key, { ...permit(3), wait: true });
  },

  'the room of a reservation is taken': async (bench) => {
    const key = bench.key();
    const first = await bench.client().take(key, permit(2));
    await bench.client().take(key, { ...permit(2), ttl: 60_000 });
    const waiting = bench.client();
    await waiting.refused(key, { ...permit(2), wait: true });
    await release(bench, key, first.id);
    await bench.client().refused(key, permit(2));
    await woken(bench, key, waiting);
    await waiting.take(key, { ...permit(2), wait: true });
  },

  'a reservation that is not used, or for one that leaves, passes to the next': async (bench) => {
    const key = bench.key();
    const first = await bench.client().take(key, permit(2));
    await bench.client().take(key, { ...permit(2), ttl: 60_000 });
    const waiting = [bench.client(), bench.client(), bench.client()] as const;
    for (const client of waiting) await client.refused(key, { ...permit(2), wait: true });
    await release(bench, key, first.id);
    await woken(bench, key, waiting[0]);
    await bench.store.leave?.(waiting[0].id, key);
    await woken(bench, key, waiting[1]);
    await bench.sleep(RESERVATION + 50);
    await bench.store.refresh?.(waiting[2].id, [key]);
    await woken(bench, key, waiting[2]);
    await waiting[2].take(key, { ...permit(2), wait: true });
  },

  'a refresh moves the queue on when one of several has crashed': async (bench) => {
    const key = bench.key();
    await bench.client().take(key, permit(2));
    await bench.client().take(key, { ...permit(2), ttl: 60_000 });
    const waiting = bench.client();
    await waiting.refused(key, { ...permit(2), wait: true });
    await bench.until('it is its turn', async () => {
      const [hint] = (await bench.store.refresh?.(waiting.id, [key])) ?? [];
      return hint === 0;
    });
    await waiting.take(key, { ...permit(2), wait: true });
  },

  'readers hold together, and a writer alone': async (bench) => {
    const key = bench.key();
    const readers = [];
    for (let count = 0; count < 3; count++) readers.push(await bench.client().take(key, reader));
    const refused = await bench.client().refused(key, writer);
    assert.equal(refused.conflict, undefined);
    for (const { id } of readers) await release(bench, key, id);
    const { id, token } = await bench.client().take(key);
    assert.ok(token > (readers.at(-1)?.token ?? 0), 'its token is larger');
    assert.equal(conflictOf(await bench.client().acquire(key, reader)), undefined);
    await bench.release(key, id);
    await bench.client().take(key, reader);
  },

  'a writer that waits stops later readers': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key, reader);
    const [waiting, later] = [bench.client(), bench.client()];
    await waiting.refused(key, { wait: true });
    await bench.client().refused(key, reader);
    await later.refused(key, { ...reader, wait: true });
    await release(bench, key, id);
    await woken(bench, key, waiting);
    await later.refused(key, { ...reader, wait: true });
    const next = await waiting.take(key, { wait: true });
    await bench.release(key, next.id);
    await woken(bench, key, later);
    await later.take(key, { ...reader, wait: true });
  },

  'adjacent readers are woken together': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key);
    const readers = [bench.client(), bench.client(), bench.client()];
    for (const client of readers) await client.refused(key, { ...reader, wait: true });
    const last = bench.client();
    await last.refused(key, { wait: true });
    await bench.release(key, id);
    await woken(bench, key, readers[0] as TestClient);
    await readers[0]?.take(key, { ...reader, wait: true, ttl: 60_000 });
    for (const client of readers) await woken(bench, key, client);
    for (const client of readers.slice(1))
      await client.take(key, { ...reader, wait: true, ttl: 60_000 });
    await last.refused(key, { wait: true });
  },

  'readers move on when the writer before them leaves': async (bench) => {
    const key = bench.key();
    await bench.client().take(key, { ...reader, ttl: 60_000 });
    const [waiting, later] = [bench.client(), bench.client()];
    await waiting.refused(key, { wait: true });
    await later.refused(key, { ...reader, wait: true });
    await bench.store.leave?.(waiting.id, key);
    await woken(bench, key, later);
    await later.take(key, { ...reader, wait: true });
  },

  'an owner takes its own permit over, past any queue': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const mine = { ...permit(2), owner: 'permit-owner' };
    const first = await client.take(key, mine);
    await bench.client().take(key, permit(2));
    await bench.client().refused(key, { ...permit(2), wait: true });
    const second = await bench.client().take(key, mine);
    assert.ok(second.token > first.token, 'its token is larger');
    await bench.until('the older holder is told', () =>
      client.losses().some((event) => 'id' in event && event.id === first.id),
    );
    assert.equal(await renew(bench, key, first.id, bench.ttl), 'superseded');
    await bench.client().refused(key, permit(2));
  },

  'a take-over gives back the room that was kept for it': async (bench) => {
    const key = bench.key();
    const { id } = await bench.client().take(key, { ...permit(3, 3), ttl: 60_000 });
    const mine = { ...permit(3), owner: 'permit-owner', wait: true, ttl: 60_000 };
    const [first, second] = [bench.client(), bench.client()];
    await first.refused(key, mine);
    await second.refused(key, mine);
    await release(bench, key, id);
    await woken(bench, key, first);
    await first.take(key, mine);
    await woken(bench, key, second);
    await second.take(key, mine);
    await bench.client().take(key, permit(3, 2));
  },

  'an owner turns its writer into a reader in one step': async (bench) => {
    const key = bench.key();
    const first = await bench.client().take(key, { owner: 'writer-owner' });
    await bench.client().refused(key, { wait: true });
    const second = await bench.client().take(key, { ...reader, owner: 'writer-owner' });
    assert.ok(second.token > first.token, 'its token is larger');
    assert.equal(await bench.renew(key, first.id, bench.ttl, 'writer-owner'), 'superseded');
  },

  'an owner that alone reads, or has a permit, takes the key for itself, past any queue': async (
    bench,
  ) => {
    const wishes = [
      { has: reader, waits: writer },
      { has: permit(3, 2), waits: permit(3, 3) },
    ];
    for (const { has, waits } of wishes) {
      const key = bench.key();
      const client = bench.client();
      const first = await client.take(key, { ...has, owner: 'sole-owner', ttl: 60_000 });
      await bench.client().refused(key, { ...waits, wait: true });
      const second = await bench.client().take(key, { owner: 'sole-owner', tokens: 4 });
      assert.ok(second.token > first.token, 'its token is larger');
      await bench.until('the older holder is told', () =>
        client.losses().some((event) => 'id' in event && event.id === first.id),
      );
      assert.equal(await renew(bench, key, first.id, bench.ttl), 'superseded');
      assert.equal(await bench.renew(key, second.id, bench.ttl, 'sole-owner'), 'renewed');
      await bench.client().refused(key, reader);
      assert.equal(await bench.release(key, second.id), true);
    }
  },

  'an owner that alone holds a key changes its limit, past any queue': async (bench) => {
    const key = bench.key();
    const common = { owner: 'sole-owner', ttl: 60_000 };
    const tokens: number[] = [];
    let last: { readonly id: string; readonly permit: boolean } | undefined;
    for (const sharing of [{}, permit(3), permit(5, 5), reader, permit(2), {}, reader]) {
      const { id, token } = await bench.client().take(key, { ...common, ...sharing });
      if (last?.permit === true) {
        assert.equal(await renew(bench, key, last.id, 60_000), 'superseded');
      } else if (last !== undefined) {
        assert.equal(await bench.renew(key, last.id, 60_000, 'sole-owner'), 'superseded');
      }
      tokens.push(token);
      last = { id, permit: 'sharing' in sharing };
    }
    assert.deepEqual(
      tokens,
      tokens.toSorted((one, other) => one - other),
    );
  },

  'an owner that waits for what others hold too keeps nothing back': async (bench) => {
    const wishes = [
      { has: reader, beside: reader, wants: {} },
      { has: permit(3), beside: permit(3), wants: permit(3, 3) },
    ];
    for (const { has, beside, wants } of wishes) {
      const key = bench.key();
      const owned = { owner: 'patient-owner', ttl: 60_000 };
      const first = await bench.client().take(key, { ...has, ...owned });
      const other = await bench.client().take(key, { ...beside, ttl: 60_000 });
      // One that will not wait gets nothing, and loses nothing.
      await bench.client().refused(key, { ...wants, ...owned });
      assert.equal(await renew(bench, key, first.id, 60_000), 'renewed');
      const client = bench.client();
      await client.refused(key, { ...wants, ...owned, wait: true, givesUp: true });
      assert.equal(await renew(bench, key, first.id, 60_000), 'superseded');
      assert.equal(await renew(bench, key, other.id, 60_000), 'renewed');
      await release(bench, key, other.id);
      await woken(bench, key, client);
      await client.take(key, { ...wants, ...owned, wait: true });
    }
  },

  'an owner takes nothing over under another limit while others hold the key': async (bench) => {
    const key = bench.key();
    const owned = { owner: 'one-of-two', ttl: 60_000 };
    const first = await bench.client().take(key, { ...permit(3), ...owned });
    await bench.client().take(key, { ...permit(3), ttl: 60_000 });
    for (const wants of [{}, reader, permit(4)]) {
      for (const wait of [false, true]) {
        const { conflict } = await bench
          .client()
          .refused(key, { ...wants, ...owned, wait, givesUp: true });
        assert.equal(conflict, 3);
      }
    }
    assert.equal(await renew(bench, key, first.id, 60_000), 'renewed');
  },

  'an owner does not take over what it has released and keeps for a while': async (bench) => {
    const key = bench.key();
    const owned = { owner: 'keeper', ttl: 60_000 };
    const { id } = await bench.client().take(key, { ...reader, ...owned });
    assert.equal(await release(bench, key, id, 30_000), true);
    await bench.client().refused(key, owned);
    await bench.client().take(key, reader);
  },

  'a look shows all who hold a key': async (bench) => {
    const key = bench.key();
    const first = await bench.client().take(key, { ...permit(3), label: 'one' });
    const second = await bench.client().take(key, { ...permit(3), label: 'two', owner: 'me' });
    const grant = await bench.store.inspect({ key, client: '' });
    assert.equal(grant?.fencingToken, first.token);
    const shown = grant?.holders?.map(({ owner, label, fencingToken }) => {
      return [owner, label, fencingToken];
    });
    assert.deepEqual(shown, [
      [first.id, 'one', first.token],
      ['me', 'two', second.token],
    ]);
    for (const { remaining = 0, since = 0 } of grant?.holders ?? []) {
      assert.ok(remaining > 0 && remaining <= bench.ttl && since > 0);
    }
  },

  'a list shows a key that several hold once, with all of them': async (bench) => {
    if (bench.store.list === undefined) return;
    const key = bench.key('several');
    await bench.client().take(key, permit(3));
    await bench.client().take(key, permit(3));
    const grants: ListedGrant[] = [];
    let cursor: string | undefined;
    do {
      const page = await bench.list({ prefix: key, limit: 10, cursor });
      grants.push(...page.grants);
      ({ cursor } = page);
    } while (cursor !== undefined);
    assert.deepEqual(
      grants.map((grant) => [grant.key, grant.holders?.length]),
      [[key, 2]],
    );
  },

  'an operator ends one permit, or all': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const first = await client.take(key, permit(3));
    const second = await client.take(key, permit(3));
    const third = await client.take(key, permit(3));
    assert.equal(await bench.store.forceRelease(key, 'nobody'), false);
    assert.equal(await bench.store.forceRelease(key, first.id), true);
    assert.equal(await renew(bench, key, first.id, bench.ttl), 'forced');
    assert.equal(await renew(bench, key, second.id, bench.ttl), 'renewed');
    assert.equal(await bench.store.forceRelease(key), true);
    for (const { id } of [second, third]) {
      assert.equal(await renew(bench, key, id, bench.ttl), 'forced');
    }
    assert.equal(await bench.held(key), false);
    const alone = await client.take(key);
    assert.equal(await bench.store.forceRelease(key, 'nobody'), false);
    assert.equal(await bench.store.forceRelease(key, alone.id), true);
  },

  'an operator ends all permits of one owner, also those that are released and kept': async (
    bench,
  ) => {
    const key = bench.key();
    const client = bench.client();
    const owner = 'the same';
    const other = await client.take(key, permit(4));
    for (let kept = 0; kept < 2; kept++) {
      const { id } = await client.take(key, { ...permit(4), owner });
      assert.equal(await release(bench, key, id, bench.ttl), true);
    }
    const held = await client.take(key, { ...permit(4), owner });
    assert.equal(await bench.store.forceRelease(key, owner), true);
    assert.equal(await renew(bench, key, held.id, bench.ttl), 'forced');
    const left = await bench.store.inspect({ key, client: client.id });
    assert.deepEqual(
      left?.holders?.map((one) => one.owner),
      [other.id],
    );
    assert.equal(await bench.store.forceRelease(key, owner), false);
  },
};
