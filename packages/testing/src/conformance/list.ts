import assert from 'node:assert/strict';
import { LockArgumentError, type ListedGrant, type ListRequest } from '@holdfast/core';
import type { Bench, CaseBody } from './kit.ts';

/** More pages than any walk of a case may have. */
const TOO_MANY_PAGES = 100_000;

/** Goes through all pages, with something that happens after each. */
async function walk(
  bench: Bench,
  request: Omit<ListRequest, 'cursor' | 'client'>,
  between: () => Promise<void> = async () => {},
): Promise<ListedGrant[]> {
  const listed: ListedGrant[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages < TOO_MANY_PAGES; pages++) {
    const page = await bench.list({ ...request, cursor });
    assert.ok(page.grants.length <= request.limit, `${page.grants.length} of ${request.limit}`);
    listed.push(...page.grants);
    ({ cursor } = page);
    if (cursor === undefined) return listed;
    await between();
  }
  throw new Error('the walk does not end');
}

function keysOf(grants: readonly ListedGrant[]): string[] {
  return [...new Set(grants.map(({ key }) => key))].toSorted();
}

/** For keys of one case. */
function names(bench: Bench): { prefix: string; name: (rest: string | number) => string } {
  const suffix = bench.id();
  return {
    prefix: bench.stored(`${suffix}/`),
    name: (rest) => bench.stored(`${suffix}/${rest}`),
  };
}

/** Seeing all that is held. */
export const listCases: Record<string, CaseBody> = {
  'everything that is held is listed, in pages of at most so many': async (bench) => {
    const { prefix, name } = names(bench);
    const keys = Array.from({ length: 60 }, (_, index) => name(index));
    await Promise.all(keys.map((key) => bench.client().take(key, { ttl: 60_000 })));
    for (const limit of [1, 7, 60, 1_000]) {
      assert.deepEqual(keysOf(await walk(bench, { prefix, limit })), keys.toSorted());
    }
  },

  'only keys with the prefix are listed, whatever is in them': async (bench) => {
    const { prefix, name } = names(bench);
    const inside = ['a', 'a:b', 'a*', '[a]', 'a?', 'a\\', '%', 'ä', '😀', '{a}'].map(name);
    const outside = bench.stored(`${bench.id()}/a`);
    for (const key of [...inside, outside]) await bench.client().take(key, { ttl: 60_000 });
    assert.deepEqual(keysOf(await walk(bench, { prefix, limit: 3 })), inside.toSorted());
    const one = await walk(bench, { prefix: name('a:'), limit: 3 });
    assert.deepEqual(keysOf(one), [name('a:b')]);
  },

  'what is free is not listed': async (bench) => {
    const { prefix, name } = names(bench);
    const [released, expired, forced, reserved] = ['r', 'e', 'f', 'w'].map(name) as [
      string,
      string,
      string,
      string,
    ];
    const { id } = await bench.client().take(released);
    await bench.client().take(expired);
    await bench.client().take(forced, { ttl: 60_000 });
    const holder = await bench.client().take(reserved, { ttl: 60_000 });
    await bench.release(released, id);
    await bench.store.forceRelease(forced);
    await bench.outlive();
    await bench.client().refused(reserved, { wait: true });
    await bench.release(reserved, holder.id);
    assert.deepEqual(await walk(bench, { prefix, limit: 10 }), []);
  },

  'a listed grant shows its holder as a look at its key does': async (bench) => {
    const { prefix, name } = names(bench);
    const key = name('held');
    const ttl = 60_000;
    const { id, token } = await bench.client().take(key, { owner: 'task-7', label: 'host:1', ttl });
    const [grant] = await walk(bench, { prefix, limit: 10 });
    const looked = await bench.store.inspect({ key, client: '' });
    assert.ok(grant !== undefined && looked !== null);
    assert.equal(grant.owner, 'task-7');
    assert.equal(grant.label, looked.label);
    assert.equal(grant.fencingToken, token);
    assert.equal(grant.since, looked.since);
    const { remaining } = grant;
    assert.ok(remaining === undefined || (remaining > 0 && remaining <= ttl + 1_000));
    assert.equal(await bench.renew(key, id, 0, 'task-7'), 'renewed');
  },

  'a grant shows since when it is held, which renewals do not change': async (bench) => {
    const key = bench.key();
    const client = bench.client();
    const { id } = await client.take(key);
    const since = (await bench.store.inspect({ key, client: '' }))?.since;
    assert.ok(since !== undefined && Number.isFinite(since), `since ${since}`);
    await bench.sleep(bench.ttl * 0.5);
    await bench.renew(key, id);
    await client.take(key, { id });
    assert.equal((await bench.store.inspect({ key, client: '' }))?.since, since);
    await bench.release(key, id);
    await bench.client().take(key);
    const next = (await bench.store.inspect({ key, client: '' }))?.since;
    assert.ok(next !== undefined && next >= since + bench.ttl * 0.4, `${next} after ${since}`);
  },

  'what is held all the while is listed while other keys come and go': async (bench) => {
    const { prefix, name } = names(bench);
    const staying = Array.from({ length: 30 }, (_, index) => name(`stays-${index}`));
    const going = Array.from({ length: 30 }, (_, index) => name(`goes-${index}`));
    const grants = new Map<string, string>();
    for (const [index, key] of staying.entries()) {
      await bench.client().take(key, { ttl: 60_000 });
      const other = going[index] as string;
      grants.set(other, (await bench.client().take(other, { ttl: 60_000 })).id);
    }
    let count = 0;
    const listed = await walk(bench, { prefix, limit: 5 }, async () => {
      // For as long as that may take, and no longer: a walk ends when nothing changes any more.
      if (count > 100) return;
      for (const [key, id] of [...grants].slice(0, 5)) {
        grants.delete(key);
        await bench.release(key, id);
        const fresh = name(`comes-${(count += 1)}`);
        grants.set(fresh, (await bench.client().take(fresh, { ttl: 60_000 })).id);
      }
    });
    const found = new Set(keysOf(listed));
    assert.deepEqual(
      staying.filter((key) => !found.has(key)),
      [],
    );
  },

  'a page can be asked for again': async (bench) => {
    const { prefix, name } = names(bench);
    const keys = Array.from({ length: 30 }, (_, index) => name(index));
    for (const key of keys) await bench.client().take(key, { ttl: 60_000 });
    const first = await bench.list({ prefix, limit: 10 });
    let rest = await walkFrom(bench, prefix, first.cursor);
    assert.deepEqual(keysOf([...first.grants, ...rest]), keys.toSorted());
    rest = await walkFrom(bench, prefix, first.cursor);
    assert.deepEqual(keysOf([...first.grants, ...rest]), keys.toSorted());
  },

  'a cursor that the store cannot have given is refused': async (bench) => {
    const cursors = ['x', ' ', '-1', 'null', '9'.repeat(1_000), '../../etc', '{"a":1}'];
    for (const cursor of cursors) {
      await assert.rejects(
        async () => bench.list({ prefix: bench.stored('x'), limit: 10, cursor }),
        (error) => error instanceof LockArgumentError,
        `cursor ${cursor.slice(0, 20)}`,
      );
    }
  },

  'a look at a key shows who waits for it, the next first': async (bench) => {
    if (bench.store.capabilities.wakeUp !== 'notify') return;
    const key = bench.key();
    const { id } = await bench.client().take(key, { ttl: 60_000 });
    const waiting = ['host:1', 'host:2', 'host:3'].map((label) => ({
      label,
      client: bench.client(),
    }));
    for (const { label, client } of waiting) await client.refused(key, { wait: true, label });
    const queue = async (client = ''): Promise<string[] | undefined> => {
      const grant = await bench.store.inspect({ key, client });
      return grant?.queue?.map(({ label }) => label);
    };
    assert.deepEqual(await queue(), ['host:1', 'host:2', 'host:3']);
    assert.deepEqual(await queue(waiting[1]?.client.id), ['host:1', 'host:3']);
    const [, second] = waiting;
    await second?.client.refused(key, { wait: true, label: 'host:4' });
    assert.deepEqual(await queue(), ['host:1', 'host:4', 'host:3']);
    const grant = await bench.store.inspect({ key, client: '' });
    for (const { since } of grant?.queue ?? []) {
      assert.ok(
        since >= (grant?.since ?? Infinity) - 1,
        `since ${since}, held since ${grant?.since}`,
      );
    }
    await bench.release(key, id);
  },
};

async function walkFrom(
  bench: Bench,
  prefix: string,
  from: string | undefined,
): Promise<ListedGrant[]> {
  const listed: ListedGrant[] = [];
  for (let cursor = from; cursor !== undefined;) {
    const page = await bench.list({ prefix, limit: 10, cursor });
    listed.push(...page.grants);
    ({ cursor } = page);
  }
  return listed;
}
