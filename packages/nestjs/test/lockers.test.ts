// Several lockers: by name, by module, by application.
import type { Locker } from '@holdfast/core';
import { currentLock, getLockerToken, InjectLocker, LockModule, WithLock } from '@holdfast/nestjs';
import { Injectable, Module, type DynamicModule } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, test } from 'vitest';
import { aLocker, atEnd, isFree } from './kit/index.ts';

@Injectable()
class Service {
  constructor(@InjectLocker() readonly locker: Locker) {}

  @WithLock('k')
  async run(): Promise<unknown> {
    return currentLock()?.label;
  }
}

async function serviceOf(imports: DynamicModule[]): Promise<Service> {
  const module = await Test.createTestingModule({ imports, providers: [Service] }).compile();
  await module.init();
  atEnd(() => module.close());
  return module.get(Service);
}

@Injectable()
class Reports {
  constructor(@InjectLocker('reports') readonly locker: Locker) {}

  @WithLock('k', { name: 'reports' })
  async report(): Promise<unknown> {
    return currentLock()?.label;
  }

  @WithLock('k')
  async run(): Promise<unknown> {
    return currentLock()?.label;
  }

  @WithLock('k', { name: 'reports' })
  @WithLock('k')
  async both(): Promise<unknown> {
    return this.locker.inspect('k');
  }
}

describe('named lockers', () => {
  test('named lockers do not exclude each other', async () => {
    const module = await Test.createTestingModule({
      imports: [
        LockModule.forRoot({ label: 'the default' }),
        LockModule.forRootAsync({ name: 'reports', useFactory: () => ({ label: 'of reports' }) }),
      ],
      providers: [Reports],
    }).compile();
    await module.init();
    atEnd(() => module.close());
    const reports = module.get(Reports);
    await expect(reports.report()).resolves.toBe('of reports');
    await expect(reports.run()).resolves.toBe('the default');
    await expect(reports.both()).resolves.toMatchObject({ label: 'of reports' });
    expect(module.get(getLockerToken('reports'))).toBe(reports.locker);
    expect(module.get(getLockerToken())).not.toBe(reports.locker);
    expect(getLockerToken()).toBe(getLockerToken('default'));
  });

  test('named lockers are named in events', async () => {
    const names: string[] = [];
    const module = await Test.createTestingModule({
      imports: [LockModule.forRoot(), LockModule.forRoot({ name: 'reports' })],
      providers: [Reports],
    }).compile();
    await module.init();
    atEnd(() => module.close());
    const reports = module.get(Reports);
    reports.locker.on('acquired', ({ locker }) => names.push(locker));
    await reports.report();
    expect(names).toEqual(['reports']);
  });
});

@Injectable()
class Left extends Service {}
@Injectable()
class Right extends Service {}

describe('modules that are not global', () => {
  test('modules that are not global have lockers of their own', async () => {
    const [left, right] = [aLocker({ label: 'left' }), aLocker({ label: 'right' })];
    const of = (locker: Locker) => LockModule.forRoot({ locker, isGlobal: false });
    @Module({ imports: [of(left)], providers: [Left], exports: [Left] })
    class LeftModule {}
    @Module({ imports: [of(right)], providers: [Right], exports: [Right] })
    class RightModule {}
    const module = await Test.createTestingModule({ imports: [LeftModule, RightModule] }).compile();
    await module.init();
    atEnd(() => module.close());
    await expect(module.get(Left).run()).resolves.toBe('left');
    await expect(module.get(Right).run()).resolves.toBe('right');
  });
});

describe('two applications in one process', () => {
  test('two applications in one process do not share lockers', async () => {
    const first = await serviceOf([LockModule.forRoot({ label: 'first' })]);
    const second = await serviceOf([LockModule.forRoot({ label: 'second' })]);
    await expect(first.run()).resolves.toBe('first');
    await expect(second.run()).resolves.toBe('second');
    await first.locker.withLock('other', async () => {
      await expect(isFree(second.locker, 'other')).resolves.toBe(true);
    });
  });
});
