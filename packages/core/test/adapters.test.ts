import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, test } from 'vitest';
import {
  currentLock,
  LockAbortedError,
  LockArgumentError,
  LockLostError,
  LockReentryError,
  LockReleasedError,
  releaseConfirmed,
  reportBypass,
  runWithLock,
  setRenewal,
  withSignal,
  type Key,
  type Lock,
  type Locker,
} from '../src/index.ts';
import { bench, rejection, settled } from './kit.ts';

const kinds: { what: string; key: Key }[] = [
  { what: 'one key', key: 'a' },
  { what: 'several keys', key: ['a', 'b'] },
];

describe.each(kinds)('withSignal, for $what', ({ key }) => {
  const both = async (locker: Locker): Promise<[Lock, Lock, AbortController]> => {
    const lock = await locker.lock(key, { owner: 'o' });
    const controller = new AbortController();
    return [lock, withSignal(lock, controller.signal), controller];
  };

  test('shows the same lock as the one it was made from', async () => {
    const { locker, free } = bench();
    const [lock, view] = await both(locker());
    expect(view.keys).toEqual(lock.keys);
    expect([view.key, view.label, view.owner]).toEqual([lock.key, lock.label, 'o']);
    expect(view.fencingToken).toBe(lock.fencingToken);
    expect(view.tokenFor('a')).toBe(lock.tokenFor('a'));
    expect(() => view.tokenFor('z')).toThrow(LockArgumentError);
    expect([view.state, view.remaining]).toEqual(['held', lock.remaining]);
    expect(JSON.parse(JSON.stringify(view))).toMatchObject({ owner: 'o', state: 'held' });
    view.assertHeld();
    await view.extend(20_000);
    expect(lock.remaining).toBe(18_000);
    expect(view.signal).toBe(view.signal);
    expect(await view.release()).toBe(true);
    expect(lock.state).toBe('released');
    expect(view.signal.reason).toBeInstanceOf(LockReleasedError);
    await view[Symbol.asyncDispose]();
    expect(await free('a')).toBe(true);
  });

  test('aborts with the other signal too, and is held and renewed as before', async () => {
    const { locker, clock } = bench();
    const [lock, view, controller] = await both(locker());
    const { signal } = view;
    controller.abort(new LockAbortedError('The client went away.'));
    expect(signal.reason).toBeInstanceOf(LockAbortedError);
    expect(lock.signal.aborted).toBe(false);
    await clock.advance(60_000);
    expect([view.state, lock.state]).toEqual(['held', 'held']);
    view.assertHeld();
    await lock.release();
  });

  test('aborts with the loss of the lock', async () => {
    const { locker } = bench();
    const one = locker();
    const [, view] = await both(one);
    const { signal } = view;
    await one.forceRelease('a');
    expect(signal.reason).toBeInstanceOf(LockLostError);
    expect(() => view.assertHeld()).toThrow(LockLostError);
  });

  test('may be run under, renewed or not, and awaited until it is released', async () => {
    const { locker, clock } = bench();
    const [lock, view] = await both(locker());
    expect(runWithLock(view, () => currentLock())).toBe(view);
    setRenewal(view, false);
    await clock.advance(9_000);
    expect(lock.state).toBe('lost');
    await view.release();
    await releaseConfirmed(view);
  });
});

describe('runWithLock', () => {
  test('gives its work the context of the lock, and its result back', async () => {
    const { locker } = bench();
    const one = locker();
    const lock = await one.lock('k');
    expect(runWithLock(lock, () => currentLock('k'))).toBe(lock);
    expect(currentLock()).toBeUndefined();
    const inside = runWithLock(lock, async () => {
      await settled();
      expect(await rejection(one.lock('k'))).toBeInstanceOf(LockReentryError);
      const joined = await one.lock('k', { reentry: 'join' });
      return joined.fencingToken;
    });
    expect(await inside).toBe(lock.fencingToken);
    expect(lock.state).toBe('held');
  });

  test('lets the work keep the lock when its locker closes, until it is done', async () => {
    const { locker, clock, free } = bench();
    const one = locker();
    const lock = await one.lock('k');
    let finish = (): void => {};
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const work = runWithLock(lock, () => runWithLock(lock, () => gate));
    await one.close();
    expect(lock.signal.reason).toMatchObject({ reason: 'closed' });
    expect(await free('k')).toBe(false);
    finish();
    await work;
    expect(await lock.release()).toBe(false);
    await clock.advance(1);
    expect(await free('k')).toBe(true);
  });

  test('ends with its work: closing the locker releases the lock then', async () => {
    const works: (() => unknown)[] = [
      () => 'done',
      () => Promise.resolve(),
      () => Promise.reject(new Error('mine')),
      () => {
        throw new Error('mine');
      },
    ];
    for (const work of works) {
      const { locker, free } = bench();
      const one = locker();
      const lock = await one.lock('k');
      await Promise.resolve()
        .then(() => runWithLock(lock, work))
        .catch(() => {});
      await one.close();
      expect(await free('k')).toBe(true);
    }
  });

  test('takes any lock, also one of another make', async () => {
    const { locker } = bench();
    const lock = await locker().lock('k');
    const theirs = { state: 'held', keys: ['other'] } as unknown as Lock;
    expect(runWithLock(theirs, () => currentLock('other'))).toBe(theirs);
    await runWithLock(theirs, async () => {
      expect(await locker().tryLock('k')).toBeNull();
      await (await locker().lock('other')).release();
    });
    setRenewal(theirs, false);
    await releaseConfirmed(theirs);
    lock.assertHeld();
  });
});

describe('reportBypass', () => {
  test('publishes also for a locker of another make', () => {
    const published: unknown[] = [];
    const note = (message: unknown): void => void published.push(message);
    subscribe('holdfast:bypassed', note);
    const error = new Error('down');
    reportBypass({} as Locker, { key: 'k', keys: ['k'], error });
    unsubscribe('holdfast:bypassed', note);
    expect(published).toEqual([
      { locker: 'custom', store: 'custom', key: 'k', keys: ['k'], error },
    ]);
  });
});
