import { LockStoreError, memoryStore, type Locker } from '@holdfast/core';
import { WithLock } from '@holdfast/nestjs';
import { faultyStore } from '@holdfast/testing';
import { Injectable, NotFoundException } from '@nestjs/common';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, aMoment, compile } from './kit/index.ts';

let locker: Locker;

beforeEach(() => {
  locker = aLocker();
});

@Injectable()
class Choosy {
  ran = 0;

  @WithLock('busy', { onLocked: 'skip' })
  async skip(): Promise<string | undefined> {
    this.ran += 1;
    return 'ran';
  }

  @WithLock('busy', { onLocked: async (error) => `instead: ${error.code}` })
  async instead(): Promise<string> {
    this.ran += 1;
    return 'ran';
  }

  @WithLock('busy', {
    onLocked: () => {
      throw new NotFoundException('mapped');
    },
  })
  async mapped(): Promise<void> {
    this.ran += 1;
  }

  @WithLock('busy', { onLocked: 'skip', wait: 5_000 })
  async patient(): Promise<string | undefined> {
    this.ran += 1;
    return 'ran';
  }
}

describe('what happens when it is busy', () => {
  let service: Choosy;

  beforeEach(async () => {
    service = (await compile(locker, { providers: [Choosy] })).get(Choosy);
  });

  test('a busy lock that is skipped resolves to undefined at once', async () => {
    const other = await locker.lock('busy');
    await expect(service.skip()).resolves.toBeUndefined();
    expect(service.ran).toBe(0);
    await other.release();
    await expect(service.skip()).resolves.toBe('ran');
  });

  test('an `onLocked` function decides the result, or what is thrown', async () => {
    const other = await locker.lock('busy');
    await expect(service.instead()).resolves.toBe('instead: LOCK_NOT_ACQUIRED');
    await expect(service.mapped()).rejects.toBeInstanceOf(NotFoundException);
    expect(service.ran).toBe(0);
    await other.release();
  });

  test('a busy lock that is skipped is waited for first where there is a `wait`', async () => {
    const other = await locker.lock('busy');
    const patient = service.patient();
    await aMoment();
    await other.release();
    await expect(patient).resolves.toBe('ran');
  });

  test('a store that is away is an error, also where a busy lock is skipped', async () => {
    const store = faultyStore(memoryStore());
    locker = aLocker({ store });
    service = (await compile(locker, { providers: [Choosy] })).get(Choosy);
    store.fail({ verb: 'acquire' });
    await expect(service.skip()).rejects.toBeInstanceOf(LockStoreError);
    store.heal();
  });
});
