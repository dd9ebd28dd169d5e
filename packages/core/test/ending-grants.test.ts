import { describe, expect, test } from 'vitest';
import { releaseConfirmed, type LockStore } from '../src/index.ts';
import { bench, settled, variant, watch } from './kit.ts';

/** Requests and answers take a while, so that something can go wrong meanwhile. */
const slow = (store: LockStore): LockStore =>
  variant(store, {
    acquire: async (request) => store.acquire(request),
    release: async (request) => store.release(request),
  });

describe('a release that goes with the next acquisition', () => {
  /** A lock with one waiter behind it, released when its tenure is over. */
  async function released(trouble: 'dropReply' | 'delay') {
    const { locker, clock, faults, free, sent } = bench(slow);
    const one = locker({ handoff: { max: 0 } });
    const first = await one.lock('k', { ttl: 60_000 });
    const second = watch(one.lock('k', { ttl: 60_000 }), clock);
    await clock.advance(10);
    if (trouble === 'delay') faults.delay(700, { verb: 'acquire' });
    else faults.dropReply({ verb: 'acquire' });
    const release = watch(first.release(), clock);
    const confirmed = watch(releaseConfirmed(first), clock);
    return { clock, second, release, confirmed, free, sent };
  }

  test('takes one request', async () => {
    const { locker, clock, requests } = bench(slow);
    const one = locker({ handoff: { max: 0 } });
    const first = await one.lock('k');
    const second = watch(one.lock('k'));
    await clock.advance(10);
    const before = requests.length;
    expect(await first.release()).toBe(true);
    await settled();
    expect(second.state).toBe('fulfilled');
    expect(requests.slice(before).map(({ verb }) => verb)).toEqual(['acquire']);
  });

  test('confirms when the store has answered, and no sooner', async () => {
    const { clock, release, confirmed } = await released('delay');
    await clock.advance(600);
    expect([release.state, confirmed.state]).toEqual(['pending', 'pending']);
    await clock.advance(200);
    expect([release.value, confirmed.state]).toEqual([true, 'fulfilled']);
  });

  test('asks for the release again by itself when the answer is lost', async () => {
    const { clock, second, confirmed } = await released('dropReply');
    await clock.advance(1_000);
    expect(confirmed.state).toBe('pending');
    await clock.advance(3_000);
    expect([confirmed.state, second.state]).toEqual(['fulfilled', 'fulfilled']);
  });
});

describe('a lock that is kept for a while after its release', () => {
  test('stays so when an earlier attempt of it is answered late', async () => {
    // Executed at once and answered much later: by then it was asked for again, and was granted.
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const late = bench((store) => {
      let first = true;
      return variant(store, {
        acquire: async (request) => {
          const given = await store.acquire(request);
          if (first) {
            first = false;
            await answered;
          }
          return given;
        },
      });
    });
    const two = late.locker();
    const lock = watch(two.lock('k', { ttl: 30_000, holdAtLeast: 20_000 }), late.clock);
    await late.clock.advance(3_000);
    expect(lock.state).toBe('fulfilled');
    if (lock.value === undefined) throw new Error('It was not granted.');
    await lock.value.release();
    answer();
    await late.clock.advance(10_000);
    expect(await late.free('k')).toBe(false);
    await late.clock.advance(12_000);
    expect(await late.free('k')).toBe(true);
  });

  test('keeps the lock no longer when its release had to be repeated', async () => {
    const { locker, clock, faults, free } = bench();
    const lock = await locker().lock('k', { ttl: 30_000, holdAtLeast: 5_000 });
    faults.dropReply({ verb: 'release', times: 2 });
    void lock.release();
    await clock.advance(4_990);
    expect(await free('k')).toBe(false);
    await clock.advance(20);
    expect(await free('k')).toBe(true);
  });
});

describe('why a lock was lost', () => {
  test('tells of the last grant when the same acquisition was granted twice', async () => {
    const { memory } = bench();
    const request = {
      key: 'k',
      owner: 'me',
      label: '',
      ttl: 60_000,
      tokens: 1,
      client: 'c',
      wait: false,
    };
    const lost: string[] = [];
    memory.subscribe('c', (event) => {
      if (event.type === 'lost') lost.push(`${event.id} ${event.reason}`);
    });
    await memory.acquire({ ...request, id: 'first' });
    await memory.acquire({ ...request, id: 'second' });
    // The first one asks again: its answer was lost.
    await memory.acquire({ ...request, id: 'first' });
    const renew = { key: 'k', id: 'first', owner: 'me', ttl: 60_000 };
    expect(await memory.renew([renew])).toEqual(['renewed']);
    await memory.forceRelease('k');
    expect(lost).toEqual(['first superseded', 'second superseded', 'first forced']);
    expect(await memory.renew([renew])).toEqual(['forced']);
  });

  test('does not remember how an earlier grant of the same acquisition ended', async () => {
    const { memory, clock } = bench();
    const request = { key: 'k', label: '', ttl: 1_000, tokens: 1, client: 'c', wait: false };
    await memory.acquire({ ...request, id: 'first', owner: 'me', ttl: 60_000 });
    await memory.acquire({ ...request, id: 'second', owner: 'me' });
    await memory.acquire({ ...request, id: 'first', owner: 'me' });
    await clock.advance(1_500);
    await memory.acquire({ ...request, id: 'third', owner: 'other' });
    const renew = { key: 'k', id: 'first', owner: 'me', ttl: 1_000 };
    expect(await memory.renew([renew])).toEqual(['stolen']);
  });
});

describe('an acquisition of several keys', () => {
  test('has one owner, under each of its keys', async () => {
    const { locker } = bench();
    const one = locker();
    const lock = await one.lock(['a', 'b', 'c']);
    const owners = await Promise.all(
      ['a', 'b', 'c'].map(async (key) => (await one.inspect(key))?.owner),
    );
    expect(owners).toEqual([lock.owner, lock.owner, lock.owner]);
    const next = await one.lock(['d', 'e']);
    expect(next.owner).not.toBe(lock.owner);
  });

  test('renews every key under the one owner of the acquisition', async () => {
    const { locker, clock, requests } = bench();
    const lock = await locker().lock(['a', 'b'], { ttl: 3_000 });
    await clock.advance(1_500);
    const renewals = requests.filter(({ verb }) => verb === 'renew');
    const sent = renewals.flatMap(({ args }) => args[0] as { owner: string }[]);
    expect(sent.length).toBeGreaterThan(1);
    for (const { owner } of sent) expect(owner).toBe(lock.owner);
  });

  test('does not take over what it has passed on before it started again', async () => {
    const { locker, clock, memory } = bench();
    const one = locker();
    const other = await locker().lock('c', { ttl: 60_000 });
    const list = watch(one.lock(['a', 'b', 'c'], { ttl: 10_000 }), clock);
    await clock.advance(10);
    // It has a and b, and waits for c. Somebody of this process waits for a, and gets it.
    const heir = watch(one.lock('a', { ttl: 10_000 }), clock);
    await clock.advance(10);
    await memory.forceRelease('b');
    await clock.advance(10);
    const held = heir.value;
    expect(held?.state).toBe('held');
    // It will not be passed on now, so the store is asked for the next in line as soon as one leaves.
    await held?.extend(20_000);
    watch(one.lock('a', { wait: 50 }));
    await clock.advance(3_000);
    expect(held?.state).toBe('held');
    await held?.release();
    await other.release();
    await clock.advance(3_000);
    expect(list.state).toBe('fulfilled');
  });
});
