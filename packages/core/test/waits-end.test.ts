import { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { afterEach, expect, test } from 'vitest';
import { LockerClosedError, LockStoreError } from '../src/index.ts';
import { bench, hear } from './kit.ts';

const endings: (() => void)[] = [];
afterEach(() => endings.splice(0).forEach((end) => end()));

const WAITS = ['waiting', 'acquired', 'not-acquired'] as const;

test('a wait that is aborted is told, with the time', async () => {
  const { locker, clock } = bench();
  await locker().lock('k');
  const one = locker();
  const heard = hear(one, ...WAITS);
  const reason = new Error('no longer needed');
  const controller = new AbortController();
  const waiting = one.lock('k', { signal: controller.signal });
  waiting.catch(() => {});
  await clock.advance(70);
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  const waiter = (heard[0] as { waiter?: number }).waiter;
  expect(waiter).toEqual(expect.any(Number));
  expect(heard).toMatchObject([
    { event: 'waiting', key: 'k', waiter },
    { event: 'not-acquired', key: 'k', waiter, waited: 70, reason: 'aborted' },
  ]);
});

test('a wait whose locker is closed is told', async () => {
  const { locker, clock } = bench();
  await locker().lock('k');
  const one = locker();
  const heard = hear(one, ...WAITS);
  const waiting = one.lock('k');
  waiting.catch(() => {});
  await clock.advance(10);
  await one.close();
  await expect(waiting).rejects.toBeInstanceOf(LockerClosedError);
  expect(heard).toMatchObject([{ event: 'waiting' }, { event: 'not-acquired', reason: 'closed' }]);
});

test('a wait that ends because the store fails is told', async () => {
  const { locker, clock, faults } = bench();
  await locker().lock('k', { renew: false });
  const one = locker();
  const heard = hear(one, ...WAITS);
  const waiting = one.lock('k', { wait: 5_000 });
  waiting.catch(() => {});
  await clock.advance(10);
  faults.fail({ times: Infinity });
  await clock.advance(20_000);
  await expect(waiting).rejects.toBeInstanceOf(LockStoreError);
  expect(heard).toMatchObject([
    { event: 'waiting' },
    { event: 'not-acquired', reason: 'store-error' },
  ]);
});

test('an acquisition that ends without having waited is not told as abandoned', async () => {
  const { locker } = bench();
  const one = locker();
  const heard = hear(one, ...WAITS);
  await expect(one.lock('k', { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow(
    'gone',
  );
  expect(heard).toEqual([]);
});

test('every wait has a number of its own, which also its end tells', async () => {
  const { locker, clock } = bench();
  const holder = await locker().lock('k');
  const one = locker();
  const heard = hear(one, ...WAITS);
  const first = one.lock('k');
  const second = one.lock('k', { wait: 50 }).catch(() => {});
  await clock.advance(60);
  await second;
  await holder.release();
  await clock.advance(10);
  await first;
  const numbers = heard.map((payload) => (payload as { waiter?: number }).waiter);
  expect(heard.map(({ event }) => event)).toEqual([
    'waiting',
    'waiting',
    'not-acquired',
    'acquired',
  ]);
  expect(numbers[0]).not.toBe(numbers[1]);
  expect(numbers.slice(2)).toEqual([numbers[1], numbers[0]]);
});

test('a renewal tells how long before the signal point the store confirmed it', async () => {
  const { locker, clock } = bench();
  const one = locker();
  const heard = hear(one, 'renewed');
  await one.lock('k', { ttl: 9_000 });
  await clock.advance(3_000);
  // A lease of 9 s has a margin of 900 ms, and is renewed after a third.
  expect(heard).toMatchObject([{ event: 'renewed', headroom: 5_100 }]);
});

test('what concerns an acquisition is published in the async context of its call', async () => {
  const { locker, clock } = bench();
  const context = new AsyncLocalStorage<string>();
  const contexts: string[] = [];
  for (const event of WAITS) {
    const on = channel(`holdfast:${event}`);
    const listener = (): void => void contexts.push(`${event} ${context.getStore() ?? 'nowhere'}`);
    on.subscribe(listener);
    endings.push(() => on.unsubscribe(listener));
  }
  const one = locker();
  const holder = await context.run('holder', () => one.lock('k'));
  const caller = new AbortController();
  const waiting = context.run('waiter', () => one.lock('k'));
  const late = context.run('late', () => one.lock('k', { wait: 30 })).catch(() => {});
  const gone = context.run('gone', () => one.lock('k', { signal: caller.signal })).catch(() => {});
  await clock.advance(40);
  caller.abort();
  await Promise.all([late, gone]);
  await context.run('releaser', () => holder.release());
  await clock.advance(10);
  await waiting;
  expect(contexts).toEqual([
    'acquired holder',
    'waiting waiter',
    'waiting late',
    'waiting gone',
    'not-acquired late',
    'not-acquired gone',
    'acquired waiter',
  ]);
});
