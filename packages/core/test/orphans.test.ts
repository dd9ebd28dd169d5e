import { describe, expect, test } from 'vitest';
import { LockStoreError, type AcquireRequest, type Lock } from '../src/index.ts';
import { bench, rejection, settled, watch } from './kit.ts';

describe('a single attempt that fails', () => {
  const troubles = ['failAfter', 'dropReply', 'dropRequest', 'fail'] as const;
  for (const trouble of troubles) {
    test(`(${trouble}) leaves no lock that nobody has`, async () => {
      const { locker, clock, faults, free } = bench();
      faults[trouble]({ verb: 'acquire' });
      const attempts = [
        watch(locker().tryLock('k', { ttl: 60_000 }), clock),
        watch(locker().lock('j', { ttl: 60_000, wait: 0 }), clock),
      ];
      await clock.advance(2_000);
      expect(attempts[0]?.reason).toBeInstanceOf(LockStoreError);
      expect(attempts[1]?.state).toBe('fulfilled');
      await clock.advance(10);
      expect(await free('k')).toBe(true);
      expect(clock.timers).toBe(1);
    });
  }

  test('takes its acquisition back again and again, until the store confirms it', async () => {
    const { locker, clock, faults, free, sent } = bench();
    faults.failAfter({ verb: 'acquire' });
    faults.fail({ verb: 'release', times: 6 });
    await rejection(locker().tryLock('k', { ttl: 60_000 }));
    expect(await free('k')).toBe(false);
    await clock.advance(10_000);
    expect(await free('k')).toBe(true);
    expect(sent('release')).toBe(7);
    await clock.advance(60_000);
    expect(sent('release')).toBe(7);
    expect(clock.timers).toBe(0);
  });

  test('stops when its ttl is over', async () => {
    const { locker, clock, faults, sent } = bench();
    faults.failAfter({ verb: 'acquire' });
    faults.fail({ verb: 'release', times: Infinity });
    await rejection(locker().tryLock('k', { ttl: 5_000 }));
    await clock.advance(5_100);
    const releases = sent('release');
    expect(releases).toBeLessThan(30);
    // A timer that requests share may stay for as long as a request may last.
    await clock.advance(5_000);
    expect(clock.timers).toBe(0);
    expect(sent('release')).toBe(releases);
  });

  test('takes the lock back when its request arrives late', async () => {
    const { locker, clock, faults, free } = bench();
    faults.delay(3_000, { verb: 'acquire' });
    const attempt = watch(locker().tryLock('k', { ttl: 60_000, owner: 'o' }), clock);
    await clock.advance(2_000);
    expect(attempt.reason).toBeInstanceOf(LockStoreError);
    await clock.advance(1_100);
    expect(await free('k')).toBe(true);
  });
});

describe('who waits', () => {
  test('recognises a grant whose reply was lost', async () => {
    for (const trouble of ['failAfter', 'dropReply'] as const) {
      const { locker, clock, faults, memory, free } = bench();
      const before = (await locker().lock('before')).fencingToken;
      faults[trouble]({ verb: 'acquire', times: 2 });
      const waiter = watch(locker().lock('k', { ttl: 10_000 }), clock);
      await clock.advance(5_000);
      // Far sooner than its own forgotten lease would have ended.
      expect(waiter.state).toBe('fulfilled');
      const lock = waiter.value as Lock;
      expect(lock.fencingToken).toBeGreaterThan(before);
      const seen = await memory.inspect({ key: 'k', client: '' });
      expect(seen).toMatchObject({ owner: lock.owner, fencingToken: lock.fencingToken });
      expect(await lock.release()).toBe(true);
      expect(await free('k')).toBe(true);
    }
  });

  test('asks under one id for as long as it asks', async () => {
    const { locker, clock, faults, requests } = bench();
    faults.failAfter({ verb: 'acquire', times: 3 });
    const waiter = watch(locker().lock('k'), clock);
    await clock.advance(2_000);
    expect(waiter.state).toBe('fulfilled');
    const ids = requests
      .filter(({ verb }) => verb === 'acquire')
      .map(({ args }) => (args[0] as AcquireRequest).id);
    expect(ids.length).toBeGreaterThan(2);
    expect(new Set(ids).size).toBe(1);
  });

  test('has a request executed twice without harm', async () => {
    const { locker, clock, faults, free } = bench();
    faults.duplicate({ times: Infinity });
    const one = locker();
    const lock = await one.lock('k');
    const waiter = watch(locker().lock('k'), clock);
    const list = watch(one.lock(['j', 'k']), clock);
    await clock.advance(1_000);
    // Whether it was freed by this request, the second execution cannot confirm.
    await lock.release();
    await clock.advance(1_000);
    await waiter.value?.release();
    await clock.advance(1_000);
    expect(list.value?.state).toBe('held');
    await list.value?.release();
    expect(await free('k')).toBe(true);
    expect(await free('j')).toBe(true);
  });

  test('leaves no place and no lock behind when a waiter gives up', async () => {
    const { locker, clock, faults, free, memory } = bench();
    const holder = await locker().lock('k');
    faults.dropReply({ verb: 'acquire', times: 2 });
    const gone = watch(locker().lock('k', { wait: 2_500 }), clock);
    await clock.advance(2_600);
    expect(gone.state).toBe('rejected');
    await clock.advance(1_000);
    expect(await memory.inspect({ key: 'k', client: '' })).toMatchObject({ waiters: 0 });
    await holder.release();
    expect(await free('k')).toBe(true);
    expect((await locker().tryLock('k'))?.state).toBe('held');
  });
});

describe('a late grant', () => {
  // With a ttl of 1 000 the signal point is at 900: a handle needs 450 ms to it.
  const slow = { ttl: 1_000, storeTimeout: 900 };

  test('returns a late grant as it is while half of its time is left', async () => {
    const { locker, clock, faults, sent } = bench();
    faults.delay(450, { verb: 'acquire' });
    const waiter = watch(locker(slow).lock('k'), clock);
    await clock.advance(450);
    expect(waiter.value?.remaining).toBe(450);
    expect(sent()).toBe(1);
  });

  for (const how of ['lock', 'tryLock'] as const) {
    test(`(${how}) that is not is renewed once`, async () => {
      const { locker, clock, faults, sent } = bench();
      faults.delay(452, { verb: 'acquire' });
      const waiter = watch(locker(slow)[how]('k'), clock);
      await clock.advance(452);
      expect(waiter.value?.remaining).toBe(900);
      expect(sent()).toBe(2);
      expect(await waiter.value?.release()).toBe(true);
    });
  }

  test('gives back a grant that is late again, and asks anew', async () => {
    const { locker, clock, faults, free } = bench();
    faults.delay(600, { verb: 'acquire', times: 2 });
    const waiter = watch(locker(slow).lock('k'), clock);
    await clock.advance(1_200);
    expect(waiter.state).toBe('pending');
    expect(await free('k')).toBe(true);
    await clock.advance(1_000);
    expect(waiter.value?.remaining).toBeGreaterThanOrEqual(450);
  });

  test('reports a late grant of a single attempt as an outage, not contention', async () => {
    for (const keys of ['k', ['k', 'j']]) {
      const { locker, clock, faults, free } = bench();
      faults.delay(600, { times: Infinity });
      const attempt = watch(locker(slow).tryLock(keys), clock);
      await clock.advance(900);
      expect(attempt.reason).toBeInstanceOf(LockStoreError);
      faults.heal();
      await clock.advance(1_500);
      expect(await free('k')).toBe(true);
      expect(await free('j')).toBe(true);
      expect(clock.timers).toBe(0);
    }
  });

  test('reports a late grant of one of several keys as an outage too', async () => {
    const { locker, clock, faults, free } = bench();
    faults.delay(0, { verb: 'acquire' });
    faults.delay(300, { verb: 'acquire', times: 2 });
    faults.fail({ verb: 'renew', times: Infinity });
    const attempt = watch(locker(slow).tryLock(['a', 'b', 'c']), clock);
    await clock.advance(850);
    // The first is 600 ms old when the last is granted, and cannot be renewed.
    expect(attempt.reason).toBeInstanceOf(LockStoreError);
    for (const key of ['a', 'b', 'c']) expect(await free(key)).toBe(true);
  });

  test('never reaches anybody with less than half of its time, whatever the delay', async () => {
    for (let delay = 0; delay < 1_500; delay += 25) {
      const { locker, clock, faults } = bench();
      faults.delay(delay, { verb: 'acquire', times: 4 });
      const one = locker(slow);
      const granted: number[] = [];
      const note = (lock: Lock | null): void => {
        if (lock !== null) granted.push(lock.remaining);
      };
      one.lock('k').then(note, () => {});
      one.tryLock('j').then(note, () => {});
      one.lock(['a', 'b', 'c']).then(note, () => {});
      await clock.advance(20_000);
      expect(granted.length).toBeGreaterThan(1);
      expect(Math.min(...granted), `${delay} ms`).toBeGreaterThanOrEqual(450);
    }
  });

  test('treats a grant that is over on arrival as none', async () => {
    const { locker, clock, faults } = bench();
    faults.delay(1_400, { verb: 'acquire' });
    const waiter = watch(locker({ ttl: 1_000, storeTimeout: 2_000 }).lock('k'), clock);
    await clock.advance(1_400);
    await settled();
    expect(waiter.value?.remaining ?? 900).toBe(900);
  });
});
