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
  test('an application without the module does not boot, and names it', async () => {
    const boot = (metadata: object) => Test.createTestingModule(metadata).compile();
    await expect(boot({ providers: [Forgotten] })).rejects.toThrow(/LockModule\.forRoot\(\)/);
    await expect(
      boot({ imports: [LockModule.forRoot()], providers: [ForgottenName] }),
    ).rejects.toThrow(/LockModule\.forRoot\({ name: 'reports' }\)/);
    await expect(boot({ providers: [Asks] })).rejects.toThrow(/LockModule/);
    await expect(boot({ controllers: [Locked] })).rejects.toThrow(/LockModule\.forRoot\(\)/);
  });

  test('a module that does not see the locker does not boot, and names LockModule', async () => {
    @Module({ providers: [Forgotten] })
    class Feature {}
    const boot = Test.createTestingModule({
      imports: [Feature, LockModule.forRoot({ isGlobal: false })],
    }).compile();
    await expect(boot).rejects.toThrow(/LockModule/);
  });

  test('an instance that Nest did not make does not run unlocked, and names LockModule', async () => {
    const instance = new Forgotten();
    const error = await instance.run().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'LOCK_MISSING', name: 'LockMissingError' });
    expect(String(error)).toMatch(/Forgotten\.run .*LockModule\.forRoot\(\)/);
  });

  test('LockModule without forRoot() does not boot, and says so', async () => {
    const boot = Test.createTestingModule({ imports: [LockModule], providers: [] }).compile();
    await expect(boot).rejects.toThrow(/LockModule\.forRoot\(\)/);
  });
});
