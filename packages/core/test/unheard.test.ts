import { channel } from 'node:diagnostics_channel';
import { describe, expect, test } from 'vitest';
import { LockLostError, type Lock, type LockerOptions, type LockOptions } from '../src/index.ts';
import { bench, hear, rejection, settled } from './kit.ts';

/** Warnings of lockers, by the event that goes with each. */
function warned(options: LockerOptions = {}) {
  const made = bench();
  const one = made.locker(options);
  const warnings = hear(one, 'warning') as unknown as { code: string }[];
  return { ...made, one, codes: () => warnings.map(({ code }) => code) };
}

const UNHEARD = ['HOLDFAST_LOSS_UNHEARD'];

describe('a loss that nobody can know of is a warning', () => {
  test.each([{ key: 'k' }, { key: ['a', 'k'] }])(
    'warns of an unheard loss once per locker: $key',
    async ({ key }) => {
      const { one, locker, codes } = warned();
      for (let round = 0; round < 3; round++) {
        const lock = await one.lock(key);
        expect(await locker().forceRelease('k')).toBe(true);
        expect(lock.state).toBe('lost');
      }
      expect(codes()).toEqual(UNHEARD);
    },
  );

  test('under `withLock` too', async () => {
    const { one, locker, codes } = warned();
    await one.withLock('k', () => locker().forceRelease('k'));
    expect(codes()).toEqual(UNHEARD);
  });

  test('warns of an unheard loss after a missed renewal and after maxHold', async () => {
    for (const options of [{}, { maxHold: 100 }]) {
      const { one, codes, faults, clock } = warned();
      const lock = await one.lock('k', options);
      faults.fail({ verb: 'renew', times: Infinity });
      await clock.advance(10_000);
      expect(lock.state).toBe('lost');
      expect(codes()).toEqual(UNHEARD);
    }
  });

  test('warns through the process of an unheard loss', async () => {
    const { one, locker } = warned();
    const told = new Promise<Error & { code?: string }>((resolve) => {
      process.once('warning', resolve);
    });
    await one.lock('k');
    await locker().forceRelease('k');
    expect(await told).toMatchObject({ name: 'HoldfastWarning', code: 'HOLDFAST_LOSS_UNHEARD' });
  });
});

describe('a loss is no warning', () => {
  const heard: { how: string; options?: LockOptions; use?: (lock: Lock) => unknown }[] = [
    { how: 'with `onLost`', options: { onLost: () => {} } },
    { how: 'where somebody has the signal', use: (lock) => lock.signal },
  ];
  test.each(heard)('$how', async ({ options, use }) => {
    const { one, locker, codes } = warned();
    for (const key of ['k', ['a', 'k']]) {
      const lock = await one.lock(key, options);
      use?.(lock);
      await locker().forceRelease('k');
      expect(lock.state).toBe('lost');
    }
    expect(codes()).toEqual([]);
  });

  test('does not warn of a loss that a listener or the diagnostics channel hears', async () => {
    const { one, locker, codes } = warned();
    const off = one.on('lost', () => {});
    await one.lock('k');
    await locker().forceRelease('k');
    off();
    const listener = (): void => {};
    channel('holdfast:lost').subscribe(listener);
    await one.lock('k');
    await locker().forceRelease('k');
    channel('holdfast:lost').unsubscribe(listener);
    expect(codes()).toEqual([]);
  });

  test('does not warn of a lease that runs out as asked', async () => {
    const { one, clock, codes } = warned();
    const lost = hear(one);
    const gone = new AbortController();
    const locks = [
      await one.lock('a', { renew: false }),
      await one.lock(['b', 'c'], { renew: false }),
      await one.lock('d', { signal: gone.signal }),
      await one.lock(['e', 'f'], { signal: gone.signal }),
    ];
    lost.length = 0;
    gone.abort();
    await clock.advance(20_000);
    expect(locks.map(({ state }) => state)).toEqual(Array(4).fill('lost'));
    expect(codes()).toEqual([]);
  });

  test('does not warn of a lock whose locker was closed', async () => {
    const { one, codes } = warned();
    await one.lock('k');
    await one.close();
    expect(codes()).toEqual([]);
  });

  test('does not warn of a lock that was released', async () => {
    const { one, clock, codes } = warned();
    await (await one.lock('k')).release();
    await clock.advance(20_000);
    expect(codes()).toEqual([]);
  });
});

describe('`throwIfLost`', () => {
  const settings = [
    { where: 'of the locker', locker: { throwIfLost: true }, options: undefined },
    { where: 'of the call', locker: {}, options: { throwIfLost: true } },
  ];

  test.each(settings)(
    '$where rejects what fulfilled without its lock',
    async ({ locker: own, options }) => {
      const { one, locker, codes, free } = warned(own);
      for (const key of ['k', ['a', 'k']]) {
        let reason: unknown;
        const work = async (lock: Lock): Promise<string> => {
          await locker().forceRelease('k');
          ({ reason } = lock.signal);
          return 'done';
        };
        for (const call of [
          () => one.withLock(key, options, work),
          () => one.tryWithLock(key, options, work),
        ]) {
          const error = await rejection(call());
          expect(error).toBeInstanceOf(LockLostError);
          expect(error).toMatchObject({ reason: 'forced', value: 'done' });
          expect(error).toBe(reason);
          expect(Object.keys(error as object)).not.toContain('value');
          expect(await free('a')).toBe(true);
        }
      }
      expect(codes()).toEqual([]);
    },
  );

  test('counts as hearing of the loss, so that nothing warns', async () => {
    const { one, locker, codes } = warned({ throwIfLost: true });
    await rejection(one.withLock('k', () => locker().forceRelease('k')));
    expect(codes()).toEqual([]);
  });

  test('sees a loss that no timer could tell of', async () => {
    const { one, clock } = warned({ throwIfLost: true });
    const work = one.withLock('k', { renew: false }, () => {
      // Time has passed, and no timer has run.
      clock.suspend(20_000);
      return 5;
    });
    expect(await rejection(work)).toMatchObject({ reason: 'expired', value: 5 });
  });

  test('leaves an error of the work, and work that kept its lock, as they are', async () => {
    const { one, locker } = warned({ throwIfLost: true });
    const mine = new Error('mine');
    const failing = one.withLock('k', async () => {
      await locker().forceRelease('k');
      throw mine;
    });
    expect(await rejection(failing)).toBe(mine);
    expect(await one.withLock('k', () => 5)).toBe(5);
    expect(await one.withLock('k', (lock) => lock.release())).toBe(true);
    expect(await one.tryWithLock('k', () => 5)).toEqual({ acquired: true, value: 5 });
  });

  test('prefers the setting of a call to that of the locker', async () => {
    const { one, locker } = warned({ throwIfLost: true });
    const work = (): Promise<boolean> => locker().forceRelease('k');
    expect(await one.withLock('k', { throwIfLost: false }, work)).toBe(true);
  });

  test('concerns one who joined a lock, too', async () => {
    const { one, locker } = warned();
    const inner = await one.withLock('k', async () => {
      const joined = one.withLock('k', { reentry: 'join', throwIfLost: true }, async () => {
        await locker().forceRelease('k');
        return 5;
      });
      return rejection(joined);
    });
    expect(inner).toMatchObject({ code: 'LOCK_LOST', value: 5 });
    await settled();
  });
});
