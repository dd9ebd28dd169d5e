import {
  LockArgumentError,
  memoryStore,
  type AcquireRequest,
  type LockStore,
} from '@holdfast/core';
import {
  faultyStore,
  virtualClock,
  type Fault,
  type FaultyStore,
  type FaultyVerb,
  type VirtualClock,
} from '@holdfast/testing';
import { describe, expect, test } from 'vitest';
import { outcome, variant, world } from './kit.ts';

const request = (key: string): AcquireRequest => ({
  key,
  id: 'a1',
  owner: 'o',
  label: 'test',
  ttl: 10_000,
  tokens: 1,
  client: 'c1',
  wait: false,
});

describe('a faulty store', () => {
  test('behaves like the store itself when nothing is to go wrong', async () => {
    const { inner, store, locker } = world();
    expect([store.name, store.capabilities]).toEqual([inner.name, inner.capabilities]);
    // Answers come as plain values, as from the store itself.
    expect(store.acquire(request('k'))).toMatchObject({ granted: true });
    expect(store.renew([{ ...request('k'), ttl: 5 }])).toEqual(['renewed']);
    expect(store.inspect({ key: 'k', client: '' })).toMatchObject({ owner: 'o' });
    expect(store.refresh?.('c2', ['k'])).toEqual([10_000]);
    expect(store.leave?.('c2', 'k')).toBeUndefined();
    expect(store.forceRelease('k')).toBe(true);
    expect(store.release({ key: 'k', id: 'a1' })).toBe(false);
    expect(await locker.withLock('j', () => 'done')).toBe('done');
  });

  test('takes what its store leaves out', async () => {
    const { store, locker } = world((inner) =>
      variant(inner, { encodeKey: undefined as never, refresh: undefined as never }),
    );
    expect(store.encodeKey!({ namespace: 'a', key: 'b', owner: undefined })).toBe('a:b');
    expect(store.refresh!('c', ['k'])).toEqual([]);
    expect(store.leaseFor!(1_234)).toBe(1_234);
    await locker.lock('k');
    expect(await store.evict('k')).toBe(true);
  });
});

describe('one request', () => {
  test('fails without effect (fail)', async () => {
    const { clock, store, held } = world();
    const error = new Error('ECONNREFUSED');
    store.fail({ error });
    expect(await outcome(store.acquire(request('k')), clock, 0)).toBe(error);
    expect(await held('k')).toBe(false);
    store.fail();
    expect(await outcome(store.acquire(request('k')), clock, 0)).toBeInstanceOf(Error);
    expect(store.acquire(request('k'))).toMatchObject({ granted: true });
  });

  test('takes effect but fails (failAfter)', async () => {
    const { clock, store, held } = world();
    const error = new Error('ECONNRESET');
    store.failAfter({ error });
    expect(await outcome(store.acquire(request('k')), clock, 0)).toBe(error);
    expect(await held('k')).toBe(true);
    store.failAfter();
    expect(await outcome(store.release({ key: 'k', id: 'a1' }), clock, 0)).toBeInstanceOf(Error);
    expect(await held('k')).toBe(false);
  });

  test('takes effect but is never answered (dropReply)', async () => {
    const { clock, store, held } = world();
    store.dropReply();
    expect(await outcome(store.acquire(request('k')), clock, 86_400_000)).toBe('nothing');
    store.acquire(request('j'));
    store.dropReply();
    void store.release({ key: 'j', id: 'a1' });
    await clock.advance(0);
    expect(await held('j')).toBe(false);
  });

  test('never arrives and is never answered (dropRequest)', async () => {
    const { clock, store, held } = world();
    store.dropRequest();
    expect(await outcome(store.acquire(request('k')), clock, 86_400_000)).toBe('nothing');
    expect(await held('k')).toBe(false);
  });

  test('takes its time, half of it on the way there (delay)', async () => {
    const { clock, store, held } = world();
    store.delay(100);
    const answer = outcome(store.acquire(request('k')), clock, 49);
    expect(await answer).toBe('nothing');
    expect(await held('k')).toBe(false);
    await clock.advance(1);
    expect(await held('k')).toBe(true);
    store.delay(100);
    expect(await outcome(store.acquire({ ...request('j'), id: 'a2' }), clock, 100)).toMatchObject({
      granted: true,
    });
    expect(clock.now()).toBe(150);
  });

  test('runs twice (duplicate)', async () => {
    let executed = 0;
    const { clock, store } = world((inner) =>
      variant(inner, {
        release: async (asked) => {
          executed += 1;
          return inner.release(asked);
        },
      }),
    );
    store.acquire(request('k'));
    store.duplicate();
    // The answer is that of the second time.
    expect(await outcome(store.release({ key: 'k', id: 'a1' }), clock, 0)).toBe(false);
    expect(executed).toBe(2);
  });
});

describe('which requests go wrong', () => {
  const refused = async (
    store: FaultyStore,
    clock: VirtualClock,
    verb: FaultyVerb,
  ): Promise<boolean> => {
    const asks: Record<FaultyVerb, () => unknown> = {
      acquire: () => store.acquire(request('k')),
      renew: () => store.renew([]),
      release: () => store.release({ key: 'k', id: 'none' }),
      refresh: () => store.refresh?.('c', []),
      leave: () => store.leave?.('c', 'k'),
      inspect: () => store.inspect({ key: 'k', client: '' }),
      list: () => store.list?.({ prefix: '', limit: 1, client: '' }),
      forceRelease: () => store.forceRelease('none'),
    };
    return (await outcome(asks[verb](), clock, 0)) instanceof Error;
  };
  const verbs = [
    'acquire',
    'renew',
    'release',
    'refresh',
    'leave',
    'inspect',
    'list',
    'forceRelease',
  ] as const;

  test.each(verbs)('goes wrong for requests of one verb only: %s', async (verb) => {
    const { store, clock } = world();
    store.fail({ verb });
    for (const other of verbs.filter((one) => one !== verb)) {
      expect(await refused(store, clock, other)).toBe(false);
    }
    expect(await refused(store, clock, verb)).toBe(true);
    expect(await refused(store, clock, verb)).toBe(false);
  });

  test('goes wrong for a number of requests, of any verb, until it heals', async () => {
    const { store, clock } = world();
    store.fail({ times: 3 });
    for (const verb of ['renew', 'inspect', 'leave'] as const) {
      expect(await refused(store, clock, verb)).toBe(true);
    }
    expect(await refused(store, clock, 'renew')).toBe(false);
    store.fail({ times: Infinity });
    for (let round = 0; round < 20; round++) {
      expect(await refused(store, clock, 'acquire')).toBe(true);
    }
    store.heal();
    expect(await refused(store, clock, 'acquire')).toBe(false);
  });

  test('goes wrong in the order in which faults were planned', async () => {
    const { store, clock } = world();
    const [first, second] = [new Error('first'), new Error('second')];
    store.fail({ error: first });
    store.fail({ error: second });
    expect(await outcome(store.renew([]), clock, 0)).toBe(first);
    expect(await outcome(store.renew([]), clock, 0)).toBe(second);
  });

  test('goes wrong as a schedule decides, when nothing else is planned', async () => {
    const clock = virtualClock();
    const asked: FaultyVerb[] = [];
    const fault: Fault = { kind: 'fail-before', error: new Error('decided') };
    const store = faultyStore(memoryStore({ clock }), {
      clock,
      decide: (verb) => {
        asked.push(verb);
        return verb === 'renew' ? fault : undefined;
      },
    });
    const planned = new Error('planned');
    store.fail({ error: planned });
    expect(await outcome(store.renew([]), clock, 0)).toBe(planned);
    expect(await outcome(store.renew([]), clock, 0)).toMatchObject({ message: 'decided' });
    expect(await outcome(store.inspect({ key: 'k', client: '' }), clock, 0)).toBeNull();
    expect(asked).toEqual(['renew', 'inspect']);
  });

  test.each([undefined, null, {}, 'memory'])('refuses what is no store (%j)', (store) => {
    expect(() => faultyStore(store as LockStore)).toThrow(LockArgumentError);
  });
});
