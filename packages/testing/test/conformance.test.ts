import { LockArgumentError, memoryStore, type LockStore } from '@holdfast/core';
import { storeConformance, virtualClock } from '@holdfast/testing';
import { describe, expect, test } from 'vitest';
import { variant } from './kit.ts';
import { mutants, type Break } from './mutants.ts';

/** The cases that a store fails. */
async function failures(breakIt: Break): Promise<string[]> {
  const clock = virtualClock();
  const createStore = (): LockStore => {
    const store = memoryStore({ clock });
    return variant(store, breakIt(store, clock));
  };
  const failed: string[] = [];
  for (const { name, run } of storeConformance({ createStore, clock })) {
    await run().catch(() => failed.push(name));
  }
  return failed;
}

describe('a store fails the suite that', () => {
  test('needs a function that makes a store', () => {
    const createStore = memoryStore() as unknown as () => LockStore;
    expect(() => storeConformance({ createStore })).toThrow(LockArgumentError);
  });

  test.each(Object.entries(mutants))('%s', async (_, [notices, breakIt]) => {
    expect(await failures(breakIt)).toContain(notices);
  });

  test('says that it can do something else than it was expected to', async () => {
    const clock = virtualClock();
    const createStore = (): LockStore => memoryStore({ clock });
    const [first] = storeConformance({ createStore, clock, capabilities: { minTtl: 50 } });
    expect(first?.name).toBe('says what it can do');
    await expect(first?.run()).rejects.toThrow(/minTtl/);
  });
});

describe('a store passes the suite that', () => {
  test('has no bug', async () => {
    expect(await failures(() => ({}))).toEqual([]);
  });

  const poor: Break = (store) => ({
    capabilities: {
      ...store.capabilities,
      wakeUp: 'poll',
      fencing: 'none',
      exactLoss: false,
      permits: false,
    },
    acquire: async (request) => {
      const reply = await store.acquire({ ...request, wait: false });
      const { replaced } = reply;
      return reply.granted
        ? { granted: true, token: 0, tokens: 1, replaced }
        : { granted: false, replaced };
    },
    renew: async (requests) => {
      const vague = { superseded: 'stolen', forced: 'evicted' } as const;
      const replies = await store.renew(requests);
      return replies.map((reply) => vague[reply as keyof typeof vague] ?? reply);
    },
    inspect: async (request) => {
      const grant = await store.inspect(request);
      return grant === null ? null : { owner: grant.owner, label: '', fencingToken: 0 };
    },
    encodeKey: undefined as never,
    decodeKey: undefined as never,
    list: undefined as never,
    refresh: undefined as never,
    leave: undefined as never,
  });

  test('can do little, and says so', async () => {
    expect(await failures(poor)).toEqual([]);
  });

  test('skips the cases that it is declared not to pass', () => {
    const createStore = (): LockStore => memoryStore();
    const names = (wakeUp: 'poll' | 'notify'): string[] =>
      storeConformance({ createStore, capabilities: { wakeUp } }).map(({ name }) => name);
    expect(names('notify')).toContain('a release wakes the first that waits, and nobody else');
    expect(names('poll')).not.toContain('a release wakes the first that waits, and nobody else');
  });

  test('cannot list, and was not expected to', async () => {
    const clock = virtualClock();
    const createStore = (): LockStore =>
      variant(memoryStore({ clock }), { list: undefined as never });
    const [declared, ...others] = storeConformance({ createStore, clock, lists: false });
    await declared?.run();
    const listing = 'everything that is held is listed, in pages of at most so many';
    expect(others.map(({ name }) => name)).not.toContain(listing);
    const [expected] = storeConformance({ createStore, clock, lists: true });
    await expect(expected?.run()).rejects.toThrow(/list/);
  });
});

describe('every case', () => {
  test('has a name of its own, a store of its own, and gives it back, whatever happens', async () => {
    const clock = virtualClock();
    const open = new Set<LockStore>();
    const cases = storeConformance({
      clock,
      createStore: async () => {
        const store = memoryStore({ clock });
        const broken = variant(store, { renew: () => Promise.reject(new Error('broken')) });
        open.add(broken);
        return broken;
      },
      disposeStore: async (store) => {
        expect(open.delete(store)).toBe(true);
      },
    });
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    let failed = 0;
    for (const { run } of cases) await run().catch(() => (failed += 1));
    expect(failed).toBeGreaterThan(5);
    expect(open.size).toBe(0);
    expect(clock.timers).toBe(0);
  });
});
