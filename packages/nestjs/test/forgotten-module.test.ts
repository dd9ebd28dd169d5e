import type { Locker } from '@holdfast/core';
import { InjectLocker, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, test } from 'vitest';

@Injectable()
class Forgotten {
  @WithLock('k')
  async run(): Promise<string> {
    return 'ran';
  }
}

@Injectable()
class ForgottenName {
  @WithLock('k', { name: 'reports' })
  async run(): Promise<string> {
    return 'ran';
  }
}

@Injectable()
class Asks {
  constructor(@InjectLocker() readonly locker: Locker) {}
}

@UseLock('k')
@Controller()
class Locked {}

describe('a module that was forgotten', () => {
  test('is named when the application does not boot', async () => {
    const boot = (metadata: object) => Test.createTestingModule(metadata).compile();
    await expect(boot({ providers: [Forgotten] })).rejects.toThrow(/LockModule\.forRoot\(\)/);
    await expect(
      boot({ imports: [LockModule.forRoot()], providers: [ForgottenName] }),
    ).rejects.toThrow(/LockModule\.forRoot\({ name: 'reports' }\)/);
    await expect(boot({ providers: [Asks] })).rejects.toThrow(/LockModule/);
    await expect(boot({ controllers: [Locked] })).rejects.toThrow(/LockModule\.forRoot\(\)/);
  });

  test('is named when only other modules import it', async () => {
    @Module({ providers: [Forgotten] })
    class Feature {}
    const boot = Test.createTestingModule({
      imports: [Feature, LockModule.forRoot({ isGlobal: false })],
    }).compile();
    await expect(boot).rejects.toThrow(/LockModule/);
  });

  test('is named at the call of an instance that Nest did not make, which does not run', async () => {
    const instance = new Forgotten();
    const error = await instance.run().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'LOCK_MISSING', name: 'LockMissingError' });
    expect(String(error)).toMatch(/Forgotten\.run .*LockModule\.forRoot\(\)/);
  });

  test('without forRoot() does not boot, and says so', async () => {
    const boot = Test.createTestingModule({ imports: [LockModule], providers: [] }).compile();
    await expect(boot).rejects.toThrow(/LockModule\.forRoot\(\)/);
  });
});
