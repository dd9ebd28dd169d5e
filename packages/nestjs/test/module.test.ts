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
import { Inject, Injectable, Module, type DynamicModule, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, test } from 'vitest';
import { aLocker, atEnd } from './kit/index.ts';

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
  test('a module without options has a locker on a memory store', async () => {
    const service = await serviceOf([LockModule.forRoot()]);
    await expect(service.run()).resolves.toMatch(/:\d+$/);
    await expect(service.locker.tryWithLock('k', () => {})).resolves.toEqual({ acquired: true });
  });

  test('a module makes a locker with the options given', async () => {
    const store = memoryStore();
    const service = await serviceOf([LockModule.forRoot({ store, label: 'mine', namespace: 'n' })]);
    await expect(service.run()).resolves.toBe('mine');
    const other = aLocker({ store, namespace: 'n' });
    await other.withLock('k', async () => {
      await expect(service.locker.tryLock('k')).resolves.toBeNull();
    });
  });

  test('a module takes a locker', async () => {
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
  ])('a module is configured by $style', async ({ module }) => {
    const service = await serviceOf([module]);
    await expect(service.run()).resolves.toBe('configured');
  });

  test.each<{ what: string; make: () => unknown }>([
    { what: 'no style', make: () => LockModule.forRootAsync({}) },
    { what: 'an empty name', make: () => LockModule.forRoot({ name: '' }) },
    { what: 'a name that is null', make: () => getLockerToken(null as never) },
  ])('a module refuses $what', ({ make }) => {
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
  ])('a module refuses $what at once, or when it boots', async ({ options }) => {
    expect(() => LockModule.forRoot(options as never)).toThrow(LockArgumentError);
    const made = LockModule.forRootAsync({ useFactory: () => options as LockModuleOptions });
    await expect(serviceOf([made])).rejects.toBeInstanceOf(LockArgumentError);
  });

  test('a module refuses bad options of the locker that it makes when it boots', async () => {
    await expect(serviceOf([LockModule.forRoot({ ttl: -1 })])).rejects.toBeInstanceOf(
      LockArgumentError,
    );
  });

  test('a module refuses a class that makes no options', async () => {
    class Factory {
      createOptions(): LockModuleOptions {
        return {};
      }
    }
    const made = LockModule.forRootAsync({ useClass: Factory as never });
    await expect(serviceOf([made])).rejects.toThrow(/needs a method `createLockOptions\(\)`/);
  });

  test('a module refuses a name that only its factory gives', async () => {
    const useFactory = () => ({ name: 'late' }) as LockModuleOptions;
    await expect(serviceOf([LockModule.forRootAsync({ useFactory })])).rejects.toBeInstanceOf(
      LockArgumentError,
    );
  });

  test('a locker can be overridden in tests by its token', async () => {
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

  test('a module that is disabled asks neither its store nor its locker', async () => {
    const store = faultyStore(memoryStore());
    store.fail({ times: Infinity });
    for (const options of [{ store }, { locker: aLocker({ store }) }]) {
      const service = await serviceOf([LockModule.forRoot({ ...options, enabled: false })]);
      await expect(service.run()).resolves.toBeDefined();
      await service.locker.withLock('other', () => {});
    }
  });
});

describe('a second global locker of one name', () => {
  const feature = (imported: DynamicModule): Type => {
    @Module({ imports: [imported] })
    class Feature {}
    return Feature;
  };

  const boot = (...imports: (DynamicModule | Type)[]): Promise<unknown> =>
    Test.createTestingModule({ imports }).compile();

  test.each<{ what: string; second: () => DynamicModule }>([
    { what: 'forRoot()', second: () => LockModule.forRoot() },
    { what: 'forRootAsync()', second: () => LockModule.forRootAsync({ useFactory: () => ({}) }) },
  ])(
    'a second global locker by $what keeps the application from booting, and says what to do',
    async ({ second }) => {
      await expect(boot(feature(LockModule.forRoot()), feature(second()))).rejects.toThrow(
        /two global lockers of the name 'default'.*Import it once, in the root module/,
      );
    },
  );

  test('a second global locker is named in the error', async () => {
    const named = (): DynamicModule => LockModule.forRoot({ name: 'reports' });
    await expect(boot(named(), feature(named()))).rejects.toThrow(
      /'reports'.*LockModule\.forRoot\({ name: 'reports' }\)/,
    );
  });

  test('one module that is imported twice is one locker', async () => {
    const once = LockModule.forRoot();
    await expect(boot(feature(once), feature(once))).resolves.toBeDefined();
  });

  test('lockers with other names, or that are not global, may be several', async () => {
    const other = LockModule.forRoot({ name: 'reports' });
    const local = LockModule.forRoot({ isGlobal: false });
    await expect(boot(LockModule.forRoot(), other, feature(local))).resolves.toBeDefined();
  });

  test('two applications may have global lockers of one name', async () => {
    await boot(LockModule.forRoot());
    await expect(boot(LockModule.forRoot())).resolves.toBeDefined();
  });
});
