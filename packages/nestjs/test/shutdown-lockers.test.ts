import { memoryStore, type Locker, type LockStore } from '@holdfast/core';
import { getLockerToken, LockModule, type LockModuleOptions } from '@holdfast/nestjs';
import { Test, type TestingModule } from '@nestjs/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, aMoment } from './kit/index.ts';

let store: LockStore;

beforeEach(() => {
  store = memoryStore();
});

async function boot(options: LockModuleOptions): Promise<TestingModule> {
  const module = await Test.createTestingModule({
    imports: [LockModule.forRoot(options)],
  }).compile();
  return module.init();
}

describe('when the application shuts down, a locker', () => {
  test('a shutdown leaves a locker of the user open, and what it holds by hand', async () => {
    const locker = aLocker({ store });
    const module = await boot({ locker });
    const byHand = await locker.lock('mine');
    await module.close();
    expect(byHand.state).toBe('held');
    await expect(locker.tryLock('another')).resolves.not.toBeNull();
    await byHand.release();
  });

  test('a shutdown closes a locker of the module, and waits for what is held by hand', async () => {
    const module = await boot({ store });
    const locker = module.get<Locker>(getLockerToken());
    const byHand = await locker.lock('mine');
    let isClosed = false;
    const closed = module.close().then(() => {
      isClosed = true;
    });
    await aMoment();
    expect(isClosed).toBe(false);
    await byHand.release();
    await closed;
    await expect(locker.lock('another')).rejects.toMatchObject({ code: 'LOCKER_CLOSED' });
  });

  test('a shutdown closes the private locker of a disabled module', async () => {
    const mine = aLocker({ store });
    const module = await boot({ locker: mine, enabled: false });
    const locker = module.get<Locker>(getLockerToken());
    expect(locker).not.toBe(mine);
    await module.close();
    await expect(locker.lock('another')).rejects.toMatchObject({ code: 'LOCKER_CLOSED' });
    await expect(mine.tryLock('another')).resolves.not.toBeNull();
  });
});
