import { createLocker, LockReentryError, type Locker } from '@holdfast/core';
import { assertLocked, currentLock, WithLock } from '@holdfast/nestjs';
import { Injectable } from '@nestjs/common';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, aMoment, compile, isFree } from './kit/index.ts';

let locker: Locker;

beforeEach(() => {
  locker = aLocker();
});

@Injectable()
class Nested {
  @WithLock('n')
  async outer(inner: 'reject' | 'join' | 'other' | 'itself' | 'skip'): Promise<unknown> {
    if (inner === 'reject') return this.inner();
    if (inner === 'join') return this.joining();
    if (inner === 'itself') return this.outer('other');
    if (inner === 'skip') return this.skipping();
    return this.other();
  }

  @WithLock('n')
  async inner(): Promise<string> {
    return 'inner';
  }

  @WithLock('n', { reentry: 'join' })
  async joining(): Promise<unknown> {
    return currentLock('n')?.fencingToken;
  }

  @WithLock('n', { onLocked: 'skip' })
  async skipping(): Promise<unknown> {
    return 'ran';
  }

  @WithLock('m')
  async other(): Promise<string[]> {
    return [currentLock('n'), currentLock('m')].map((lock) => String(lock?.key));
  }
}

describe('calls inside calls', () => {
  let service: Nested;

  beforeEach(async () => {
    service = (await compile(locker, { providers: [Nested] })).get(Nested);
  });

  test('a call inside a call with the same key is an error rather than a wait for ever', async () => {
    await expect(service.outer('reject')).rejects.toBeInstanceOf(LockReentryError);
    await expect(service.outer('itself')).rejects.toBeInstanceOf(LockReentryError);
    await expect(isFree(locker, 'n')).resolves.toBe(true);
  });

  test('a call inside a call with the same key can join', async () => {
    await expect(service.outer('join')).resolves.toBeGreaterThan(0);
    await expect(isFree(locker, 'n')).resolves.toBe(true);
  });

  test('a call inside a call with a single attempt finds the key busy', async () => {
    await expect(service.outer('skip')).resolves.toBeUndefined();
  });

  test('a call inside a call with another key holds both locks', async () => {
    await expect(service.outer('other')).resolves.toEqual(['n', 'm']);
  });

  test('a call beside a chain of calls waits for it', async () => {
    const other = await locker.lock('n');
    const waiting = service.outer('other');
    await aMoment();
    await other.release();
    await expect(waiting).resolves.toEqual(['n', 'm']);
  });
});

describe('assertLocked', () => {
  test('assertLocked throws outside of a lock, and for another key', async () => {
    expect(() => assertLocked()).toThrow(
      expect.objectContaining({ code: 'LOCK_MISSING' }) as Error,
    );
    await createLocker().withLock('k', async (lock) => {
      expect(assertLocked()).toBe(lock);
      expect(assertLocked('k')).toBe(lock);
      expect(() => assertLocked('other')).toThrow(
        expect.objectContaining({ code: 'LOCK_MISSING' }) as Error,
      );
    });
  });
});
