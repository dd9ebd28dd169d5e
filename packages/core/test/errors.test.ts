import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  LockAbortedError,
  LockArgumentError,
  LockConflictError,
  LockerClosedError,
  LockError,
  LockLostError,
  LockMissingError,
  LockNotAcquiredError,
  LockQueueFullError,
  LockReentryError,
  LockReleasedError,
  LockStoreError,
} from '../src/index.ts';
import { bench, rejection } from './kit.ts';

const cause = new Error('cause');
const key = 'secret-key';

const errors: [string, LockError, string][] = [
  [
    'LockNotAcquiredError',
    new LockNotAcquiredError({ key, cause, waited: 5 }),
    'LOCK_NOT_ACQUIRED',
  ],
  [
    'LockQueueFullError',
    new LockQueueFullError({ key, cause, limit: 5, option: 'maxWaiters' }),
    'LOCK_QUEUE_FULL',
  ],
  [
    'LockConflictError',
    new LockConflictError({ key, cause, limit: 2, currentLimit: 3 }),
    'LOCK_CONFLICT',
  ],
  ['LockLostError', new LockLostError({ key, cause, reason: 'expired', heldFor: 5 }), 'LOCK_LOST'],
  ['LockReleasedError', new LockReleasedError({ key, cause }), 'LOCK_RELEASED'],
  ['LockAbortedError', new LockAbortedError('Gone.', { key, cause }), 'LOCK_ABORTED'],
  [
    'LockStoreError',
    new LockStoreError('Down.', { key, cause, phase: 'acquire' }),
    'LOCK_STORE_UNAVAILABLE',
  ],
  ['LockArgumentError', new LockArgumentError('Bad.', { key, cause }), 'LOCK_INVALID_ARGUMENT'],
  ['LockReentryError', new LockReentryError({ key, cause }), 'LOCK_REENTRY'],
  ['LockMissingError', new LockMissingError('None.', { key, cause }), 'LOCK_MISSING'],
  ['LockerClosedError', new LockerClosedError({ key, cause }), 'LOCKER_CLOSED'],
];

describe.each(errors)('%s', (name, error, code) => {
  test('has its code, its name, its key and its cause', () => {
    expect(error).toMatchObject({ code, name, key, cause });
    expect(error).toBeInstanceOf(LockError);
    expect(error).toBeInstanceOf(Error);
    expect(error.message).not.toContain(key);
    expect(error.message.length).toBeGreaterThan(3);
    expect(String(error)).toBe(`${name}: ${error.message}`);
    expect(error.stack).toContain(name);
  });

  test('keeps its key from those who print it or its fields', () => {
    expect(Object.keys(error)).not.toContain('key');
    expect(JSON.stringify(error)).not.toContain(key);
    expect(inspect(error)).not.toContain(key);
  });

  test('matches no other error class', () => {
    const classes = [
      LockNotAcquiredError,
      LockQueueFullError,
      LockConflictError,
      LockLostError,
      LockReleasedError,
      LockAbortedError,
      LockStoreError,
      LockArgumentError,
      LockReentryError,
      LockMissingError,
      LockerClosedError,
    ];
    expect(classes.filter((type) => error instanceof type)).toHaveLength(1);
  });
});

test('what is no error of ours is none', () => {
  for (const other of [new Error('x'), {}, null, undefined, 'LOCK_LOST', { code: 'LOCK_LOST' }]) {
    expect(other instanceof LockError).toBe(false);
    expect((other as unknown) instanceof LockLostError).toBe(false);
  }
});

test('a class of one’s own that extends one of ours is told from it', () => {
  class Mine extends LockStoreError {}
  const mine = new Mine('x', { phase: 'acquire' });
  expect(mine).toBeInstanceOf(Mine);
  expect(mine).toBeInstanceOf(LockStoreError);
  expect(errors[4]?.[1] instanceof Mine).toBe(false);
});

describe('what a web framework asks an error', () => {
  test('busy is 423, and may be shown', async () => {
    const { locker } = bench();
    await locker().lock('k');
    expect(await rejection(locker().lock('k', { wait: 0 }))).toMatchObject({
      status: 423,
      statusCode: 423,
      expose: true,
      headers: { 'Retry-After': '1' },
      waited: 0,
    });
  });

  test('an outage is 503, and is not shown', async () => {
    const { locker, faults } = bench();
    for (const verb of ['acquire', 'inspect', 'forceRelease'] as const) faults.fail({ verb });
    for (const [error, phase] of [
      [await rejection(locker().tryLock('k')), 'acquire'],
      [await rejection(locker().inspect('k')), 'inspect'],
      [await rejection(locker().forceRelease('k')), 'force-release'],
    ] as const) {
      expect(error).toBeInstanceOf(LockStoreError);
      expect(error).toMatchObject({
        status: 503,
        statusCode: 503,
        expose: false,
        headers: { 'Retry-After': '1' },
        phase,
        key: 'k',
      });
    }
  });
});

describe('inspect and forceRelease', () => {
  test('tell who holds, and free it', async () => {
    const { locker, clock } = bench();
    const one = locker({ label: 'me' });
    expect(await one.inspect('k')).toBeNull();
    expect(await one.forceRelease('k')).toBe(false);
    const lock = await one.lock('k', { ttl: 5_000 });
    void one.lock('k', { wait: 60_000 }).catch(() => {});
    void locker()
      .lock('k', { wait: 60_000 })
      .catch(() => {});
    await clock.advance(1_000);
    const seen = await locker().inspect('k');
    const { owner, fencingToken } = lock;
    expect(seen).toMatchObject({ key: 'k', owner, label: 'me', fencingToken, remaining: 4_000 });
    expect(await one.inspect('k')).toMatchObject({ waiters: 2 });
    expect(await locker().forceRelease('k')).toBe(true);
    expect(lock.signal.reason).toMatchObject({ reason: 'forced' });
    expect(await lock.release()).toBe(false);
    const next = await one.inspect('k');
    expect(next?.fencingToken).toBeGreaterThan(fencingToken);
  });

  test('change nothing by looking', async () => {
    const { locker, clock } = bench();
    const lock = await locker().lock('k', { ttl: 1_000, renew: false });
    for (let i = 0; i < 9; i++) {
      await clock.advance(100);
      await locker().inspect('k');
    }
    expect(lock.state).toBe('lost');
    await clock.advance(100);
    expect(await locker().inspect('k')).toBeNull();
  });

  test('settle within the limit when the store hangs', async () => {
    const { locker, clock, faults } = bench();
    faults.dropRequest({ times: 2 });
    const seen = rejection(locker().inspect('k'));
    const freed = rejection(locker().forceRelease('k'));
    await clock.advance(2_000);
    expect(await seen).toBeInstanceOf(LockStoreError);
    expect(await freed).toBeInstanceOf(LockStoreError);
  });
});

test('a conflict has both limits', () => {
  const error = new LockConflictError({ limit: 2, currentLimit: 3 });
  expect(error).toMatchObject({ limit: 2, currentLimit: 3 });
  expect(error.message).toMatch(/limit of 3.*limit of 2/);
  const other = new LockConflictError({ limit: 1, currentLimit: 3, message: 'Mine.' });
  expect(other.message).toBe('Mine.');
});

test('a busy lock says how long it was waited for, if it was', async () => {
  const { locker, clock } = bench();
  await locker().lock('k');
  const waiting = rejection(locker().lock('k', { wait: 300 }));
  await clock.advance(300);
  expect(await waiting).toMatchObject({
    message: 'The lock is busy: not acquired within 300 ms.',
    waited: 300,
  });
  for (const busy of ['k', ['a', 'k']]) {
    const error = await rejection(locker().lock(busy, { wait: 0 }));
    expect(error).toMatchObject({ message: 'The lock is busy.', code: 'LOCK_NOT_ACQUIRED' });
  }
});
