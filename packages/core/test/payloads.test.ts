import { hostname } from 'node:os';
import { describe, expect, test } from 'vitest';
import { LockStoreError } from '../src/index.ts';
import { bench, hear } from './kit.ts';

describe('payloads', () => {
  test('tell who, for how long, and with which token', async () => {
    const { locker, clock } = bench();
    const first = await locker().lock('k');
    const one = locker({ name: 'orders' });
    const heard = hear(one);
    const waiting = one.lock('k', { owner: 'o' });
    await clock.advance(120);
    await first.release();
    const lock = await waiting;
    await clock.advance(30);
    await lock.release();
    const label = `${hostname()}:${process.pid}`;
    const about = { locker: 'orders', store: 'memory', key: 'k', keys: ['k'], label, owner: 'o' };
    const { fencingToken } = lock;
    expect(heard).toEqual([
      { event: 'waiting', ...about, waiter: expect.any(Number) },
      { event: 'acquired', ...about, fencingToken, waited: 120, waiter: expect.any(Number) },
      { event: 'released', ...about, fencingToken, heldFor: 30 },
    ]);
    expect(label).toBe(lock.label);
  });

  test('tell how long a busy lock was waited for', async () => {
    const { locker, clock } = bench();
    await locker().lock('b');
    const one = locker();
    const heard = hear(one, 'not-acquired', 'waiting', 'acquired');
    await one.tryLock('b');
    await one.lock('b', { wait: 0 }).catch(() => {});
    await one.tryWithLock(['a', 'b'], () => {});
    const last = one.lock(['c', 'b'], { wait: 70, owner: 'o' }).catch(() => {});
    await clock.advance(70);
    await last;
    expect(heard).toMatchObject([
      { event: 'not-acquired', key: 'b', waited: 0 },
      { event: 'not-acquired', key: 'b', waited: 0 },
      { event: 'not-acquired', key: 'a', keys: ['a', 'b'], waited: 0 },
      { event: 'waiting', key: 'c', keys: ['c', 'b'], owner: 'o' },
      { event: 'not-acquired', key: 'c', keys: ['c', 'b'], owner: 'o', waited: 70 },
    ]);
  });

  test('tell of a lock of several keys once', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const heard = hear(one);
    const lock = await one.lock(['b', 'a']);
    await clock.advance(10);
    await lock.release();
    const about = { key: 'b', keys: ['b', 'a'], fencingToken: 0, owner: lock.owner };
    expect(heard).toMatchObject([
      { event: 'acquired', ...about, waited: 0 },
      { event: 'released', ...about, heldFor: 10 },
    ]);
    expect(heard).toHaveLength(2);
  });

  test('carry the error of an outage', async () => {
    const { locker, faults, clock } = bench();
    const one = locker();
    const heard = hear(one, 'store-error');
    const lock = await one.lock('k', { ttl: 300 });
    const cause = new Error('ECONNRESET');
    faults.fail({ error: cause, times: 2 });
    await clock.advance(1_500);
    expect(lock.state).toBe('held');
    expect(heard).toHaveLength(1);
    const { error } = heard[0] as unknown as { error: LockStoreError };
    expect(error).toBeInstanceOf(LockStoreError);
    expect(error).toMatchObject({ phase: 'renew', cause, key: 'k' });
  });
});
