import { LockArgumentError } from '@holdfast/core';
import { UseLock, WithLock } from '@holdfast/nestjs';
import { Injectable } from '@nestjs/common';
import { describe, expect, test } from 'vitest';
import { aLocker, compile } from './kit/index.ts';

describe('what is wrong with @WithLock', () => {
  test.each([
    [
      'a static method',
      () => WithLock('k')(Object as never, 'x', { value: async () => {} } as never),
    ],
    ['an accessor', () => WithLock('k')(Object.prototype, 'x', { get: () => 1 } as never)],
    ['no key', () => WithLock(undefined as never)],
    ['options that are null', () => WithLock('k', null as never)],
    ['an option that is null', () => WithLock('k', { ttl: null as never })],
    ['an unknown reaction', () => WithLock('k', { onLocked: 'retry' as never })],
    ['an empty name', () => WithLock('k', { name: '' })],
  ])('%s is refused when the class is defined', (_what, decorate) => {
    expect(decorate).toThrow(LockArgumentError);
  });

  test('a ttl that the store does not allow is refused at the call', async () => {
    @Injectable()
    class Hasty {
      @WithLock('k', { ttl: 0 })
      async run(): Promise<void> {}
    }
    const service = (await compile(aLocker(), { providers: [Hasty] })).get(Hasty);
    await expect(service.run()).rejects.toBeInstanceOf(LockArgumentError);
  });
});

describe('what is wrong with @UseLock', () => {
  test.each<{ what: string; make: () => unknown }>([
    { what: 'no key', make: () => UseLock(undefined as never) },
    { what: 'options that are null', make: () => UseLock('k', null as never) },
    { what: 'a static method', make: () => UseLock('k')(Object, 'x', { value() {} } as never) },
  ])('$what is refused when the class is defined', ({ make }) => {
    expect(make).toThrow(LockArgumentError);
  });
});
