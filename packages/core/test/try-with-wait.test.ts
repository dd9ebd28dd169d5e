import { describe, expect, test } from 'vitest';
import { LockStoreError, type Lock } from '../src/index.ts';
import { bench, hear, rejection, settled, watch } from './kit.ts';

describe('a try that waits', () => {
  test.each([{ key: 'k' }, { key: ['a', 'k'] }])(
    'answers null only after so long: $key',
    async ({ key }) => {
      const { locker, clock } = bench();
      const holder = await locker().lock('k');
      const one = locker();
      const heard = hear(one, 'waiting', 'not-acquired');
      const tried = watch(one.tryLock(key, { wait: 300 }), clock);
      const run = watch(
        one.tryWithLock(key, { wait: 300 }, () => 'ran'),
        clock,
      );
      await clock.advance(299);
      expect([tried.state, run.state]).toEqual(['pending', 'pending']);
      await clock.advance(1);
      expect(tried).toMatchObject({ state: 'fulfilled', value: null, at: 300 });
      expect(run).toMatchObject({ state: 'fulfilled', value: { acquired: false }, at: 300 });
      const events = heard.map((event) => [event.event, (event as { reason?: string }).reason]);
      const ended = ['not-acquired', 'busy'];
      expect(events).toEqual([['waiting', undefined], ['waiting', undefined], ended, ended]);
      await holder.release();
      expect(await one.tryWithLock(key, { wait: 300 }, () => 'ran')).toEqual({
        acquired: true,
        value: 'ran',
      });
    },
  );

  test('takes the lock as soon as it is free', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const holder = await one.lock('k');
    const tried = watch(one.tryLock('k', { wait: 300 }), clock);
    await clock.advance(100);
    await holder.release();
    await settled();
    expect(tried).toMatchObject({ state: 'fulfilled', at: 100 });
    expect((tried.value as Lock).state).toBe('held');
  });

  test('rejects where it would wait for itself, and succeeds where it joins', async () => {
    const { locker } = bench();
    const one = locker();
    await one.withLock('k', async () => {
      expect(await rejection(one.tryLock('k', { wait: 5 }))).toMatchObject({
        code: 'LOCK_REENTRY',
      });
      expect((await one.tryLock('k', { wait: 5, reentry: 'join' }))?.state).toBe('held');
      expect(await one.tryLock('k')).toBeNull();
    });
  });

  test('rejects where the store fails all the while, or the signal is aborted', async () => {
    const { locker, clock, faults } = bench();
    const one = locker();
    faults.fail({ times: Infinity });
    const failing = watch(one.tryLock('k', { wait: 300 }), clock);
    await clock.advance(300);
    expect(failing).toMatchObject({ state: 'rejected', at: 300 });
    expect(failing.reason).toBeInstanceOf(LockStoreError);
    faults.heal();
    await locker().lock('j');
    const gone = new AbortController();
    const aborted = watch(one.tryLock('j', { wait: 300, signal: gone.signal }));
    await settled();
    gone.abort('enough');
    await settled();
    expect(aborted).toMatchObject({ state: 'rejected', reason: 'enough' });
  });
});

test('every acquisition that was told to wait ends with one event', async () => {
  const { locker, clock, faults } = bench();
  const holder = await locker().lock('k', { ttl: 3_600_000 });
  const one = locker();
  const heard = hear(one, 'waiting', 'acquired', 'not-acquired') as {
    event: string;
    reason?: string;
    key: string;
  }[];
  const gone = new AbortController();
  const calls = [
    one.lock('k', { wait: 100 }),
    one.lock('k', { signal: gone.signal }),
    one.lock(['a', 'k'], { signal: gone.signal }),
    one.lock('k', { wait: 50_000 }),
    one.lock('k', { wait: 60_000 }),
    one.lock('k'),
  ];
  for (const call of calls) call.catch(() => {});
  await settled();
  expect(heard.filter(({ event }) => event === 'waiting')).toHaveLength(6);
  const ends = (): string[] =>
    heard.filter(({ event }) => event !== 'waiting').map(({ event, reason }) => reason ?? event);
  await clock.advance(100);
  gone.abort();
  await settled();
  expect(ends()).toEqual(['busy', 'aborted', 'aborted']);
  await holder.release();
  await settled();
  expect(ends().slice(3)).toEqual(['acquired']);
  faults.fail({ times: Infinity });
  // It is handed to the next, whose place the last takes; nobody knows of the store for 30 s.
  await (await (calls[3] as Promise<Lock>)).release();
  await clock.advance(60_000);
  expect(ends().slice(4)).toEqual(['acquired', 'store-error']);
  faults.heal();
  await locker().lock('j');
  one.lock('j').catch(() => {});
  await settled();
  await one.close();
  expect(ends().slice(6)).toEqual(['closed']);
});
