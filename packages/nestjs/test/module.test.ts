import { createLocker, LockArgumentError, memoryStore, type Locker } from '@holdfast/core';
import {
  currentLock,
  getLockerToken,
  InjectLocker,
  LockModule,
  WithLock,
  type LockModuleOptions,
} from '@holdfast/nestjs';
import { faultyStore } from '@holdfast/testing';
import { Inject, Injectable, Module, type DynamicModule } from '@nestjs/common';
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

@Injectable()
class Config {
  readonly label = 'configured';
}

@Module({ providers: [Config], exports: [Config] })
class ConfigModule {}

@Injectable()
class OptionsFactory {
  constructor(@Inject(Config) private readonly config: Config) {}

  createLockOptions(): LockModuleOptions {
    return { label: this.config.label };
  }
}

@Injectable()
class ShortFactory {
  async create(): Promise<LockModuleOptions> {
    return { label: 'configured' };
  }
}

@Module({ imports: [ConfigModule], providers: [OptionsFactory], exports: [OptionsFactory] })
class OptionsModule {}

async function serviceOf(imports: DynamicModule[]): Promise<Service> {
  const module = await Test.createTestingModule({ imports, providers: [Service] }).compile();
  await module.init();
  atEnd(() => module.close());
  return module.get(Service);
}

describe('a module', () => {
  test('without options has a locker on a memory store', async () => {
    const service = await serviceOf([LockModule.forRoot()]);
    await expect(service.run()).resolves.toMatch(/:\d+$/);
    await expect(service.locker.tryWithLock('k', () => {})).resolves.toEqual({ acquired: true });
  });

  test('makes a locker with the options given', async () => {
    const store = memoryStore();
    const service = await serviceOf([LockModule.forRoot({ store, label: 'mine', namespace: 'n' })]);
    await expect(service.run()).resolves.toBe('mine');
    const other = aLocker({ store, namespace: 'n' });
    await other.withLock('k', async () => {
      await expect(service.locker.tryLock('k')).resolves.toBeNull();
    });
  });

  test('takes a locker', async () => {
    const locker = aLocker({ label: 'given' });
    const service = await serviceOf([LockModule.forRoot({ locker })]);
    expect(service.locker).toBe(locker);
    await expect(service.run()).resolves.toBe('given');
  });

  test.each<{ style: string; module: DynamicModule }>([
    {
      style: 'useFactory',
      module: LockModule.forRootAsync({ useFactory: () => ({ label: 'configured' }) }),
    },
    {
      style: 'useFactory, with inject and imports',
      module: LockModule.forRootAsync({
        imports: [ConfigModule],
        inject: [Config],
        useFactory: async (config: Config) => ({
          locker: createLocker({ label: config.label }),
        }),
      }),
    },
    {
      style: 'useClass',
      module: LockModule.forRootAsync({ imports: [ConfigModule], useClass: OptionsFactory }),
    },
    {
      style: 'useClass, with create()',
      module: LockModule.forRootAsync({ useClass: ShortFactory }),
    },
    {
      style: 'useExisting',
      module: LockModule.forRootAsync({ imports: [OptionsModule], useExisting: OptionsFactory }),
    },
  ])('is configured by $style', async ({ module }) => {
    const service = await serviceOf([module]);
    await expect(service.run()).resolves.toBe('configured');
  });

  test.each<{ what: string; make: () => unknown }>([
    { what: 'no style', make: () => LockModule.forRootAsync({}) },
    { what: 'an empty name', make: () => LockModule.forRoot({ name: '' }) },
    { what: 'a name that is null', make: () => getLockerToken(null as never) },
  ])('refuses $what', ({ make }) => {
    expect(make).toThrow(LockArgumentError);
  });

  test.each<{ what: string; options: unknown }>([
    { what: 'null', options: null },
    { what: 'a locker that is null', options: { locker: null } },
    { what: 'a store for a locker', options: { locker: memoryStore() } },
    { what: 'a locker and options of one', options: { locker: createLocker(), ttl: 5_000 } },
    { what: 'a store that is null', options: { store: null } },
    { what: 'what is merely falsy for `enabled`', options: { enabled: '' } },
    { what: 'an exceptionFactory that is none', options: { exceptionFactory: 'WsException' } },
    { what: 'a bad shutdownTimeout', options: { shutdownTimeout: Number.NaN } },
  ])('refuses $what: at once, or when it boots', async ({ options }) => {
    expect(() => LockModule.forRoot(options as never)).toThrow(LockArgumentError);
    const made = LockModule.forRootAsync({ useFactory: () => options as LockModuleOptions });
    await expect(serviceOf([made])).rejects.toBeInstanceOf(LockArgumentError);
  });

  test('refuses bad options of the locker that it makes when it boots', async () => {
    await expect(serviceOf([LockModule.forRoot({ ttl: -1 })])).rejects.toBeInstanceOf(
      LockArgumentError,
    );
  });

  test('refuses a name that only its factory gives', async () => {
    const useFactory = () => ({ name: 'late' }) as LockModuleOptions;
    await expect(serviceOf([LockModule.forRootAsync({ useFactory })])).rejects.toBeInstanceOf(
      LockArgumentError,
    );
  });

  test('can be overridden in tests by its token', async () => {
    const locker = aLocker({ label: 'double' });
    const module = await Test.createTestingModule({
      imports: [LockModule.forRoot({ label: 'real' })],
      providers: [Service],
    })
      .overrideProvider(getLockerToken())
      .useValue(locker)
      .compile();
    await module.init();
    await expect(module.get(Service).run()).resolves.toBe('double');
    await module.close();
    await expect(locker.tryLock('k')).resolves.not.toBeNull();
  });

  test('that is disabled asks neither the store nor the locker it was given', async () => {
    const store = faultyStore(memoryStore());
    store.fail({ times: Infinity });
    for (const options of [{ store }, { locker: aLocker({ store }) }]) {
      const service = await serviceOf([LockModule.forRoot({ ...options, enabled: false })]);
      await expect(service.run()).resolves.toBeDefined();
      await service.locker.withLock('other', () => {});
    }
  });
});

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
  test('are apart', async () => {
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

  test('are named in events', async () => {
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
  test('give each importing module its own locker', async () => {
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

describe('a module that was forgotten', () => {
  test('is named when the application does not boot', async () => {
    const boot = (metadata: object) => Test.createTestingModule(metadata).compile();
    await expect(boot({ providers: [Forgotten] })).rejects.toThrow(/LockModule\.forRoot\(\)/);
    await expect(
      boot({ imports: [LockModule.forRoot()], providers: [ForgottenName] }),
    ).rejects.toThrow(/LockModule\.forRoot\({ name: 'reports' }\)/);
    await expect(boot({ providers: [Service] })).rejects.toThrow(/LockModule/);
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

describe('two applications in one process', () => {
  test('do not share lockers', async () => {
    const first = await serviceOf([LockModule.forRoot({ label: 'first' })]);
    const second = await serviceOf([LockModule.forRoot({ label: 'second' })]);
    await expect(first.run()).resolves.toBe('first');
    await expect(second.run()).resolves.toBe('second');
    await first.locker.withLock('other', async () => {
      await expect(isFree(second.locker, 'other')).resolves.toBe(true);
    });
  });
});
