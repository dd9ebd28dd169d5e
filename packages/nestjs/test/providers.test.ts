import type { Locker } from '@holdfast/core';
import { currentLock, LockModule, WithLock } from '@holdfast/nestjs';
import { Injectable, Module, Scope } from '@nestjs/common';
import { ContextIdFactory, REQUEST } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, compile } from './kit/index.ts';

let locker: Locker;

beforeEach(() => {
  locker = aLocker();
});

/** What holds the key while a method runs. */
const holder = async (): Promise<string | undefined> => (await locker.inspect('k'))?.key;

@Injectable()
class Base {
  @WithLock('k')
  async run(): Promise<unknown> {
    return holder();
  }

  @WithLock('k')
  async itself(depth: number): Promise<unknown> {
    return depth === 0 ? holder() : this.itself(depth - 1);
  }
}

@Injectable()
class Inherits extends Base {}

@Injectable()
class Overrides extends Base {
  override async run(): Promise<unknown> {
    return ['override', await super.run()];
  }
}

@Injectable()
class OverridesLocked extends Base {
  @WithLock('k')
  override async run(): Promise<unknown> {
    return ['override', await holder(), await super.run()];
  }

  @WithLock('k')
  override async itself(depth: number): Promise<unknown> {
    return super.itself(depth);
  }
}

@Injectable()
class WithProperty extends Base {
  @WithLock('other')
  async other(): Promise<unknown> {
    return currentLock()?.key;
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest extends Base {}

@Injectable({ scope: Scope.TRANSIENT })
class Transient extends Base {}

describe('providers', () => {
  test.each([Base, Inherits, WithProperty, Transient])(
    'providers of class %o run under their locks',
    async (type) => {
      const module = await compile(locker, { providers: [type] });
      const service = await module.resolve(type);
      await expect(service.run()).resolves.toBe('k');
    },
  );

  test('providers with decorators in base class and subclass have both locks', async () => {
    const service = (await compile(locker, { providers: [WithProperty] })).get(WithProperty);
    await expect(service.other()).resolves.toBe('other');
    await expect(service.run()).resolves.toBe('k');
  });

  test('an override has the lock of the base class when it calls super', async () => {
    const service = (await compile(locker, { providers: [Overrides] })).get(Overrides);
    await expect(service.run()).resolves.toEqual(['override', 'k']);
  });

  test('an override with the same key as its base class takes the lock once', async () => {
    const service = (await compile(locker, { providers: [OverridesLocked] })).get(OverridesLocked);
    await expect(service.run()).resolves.toEqual(['override', 'k', 'k']);
    await expect(holder()).resolves.toBeUndefined();
  });

  test('a method that calls itself does not pass for an override', async () => {
    const module = await compile(locker, { providers: [Base, OverridesLocked] });
    await expect(module.get(OverridesLocked).itself(0)).resolves.toBe('k');
    await expect(module.get(Base).itself(1)).rejects.toMatchObject({ code: 'LOCK_REENTRY' });
    await expect(module.get(OverridesLocked).itself(1)).rejects.toMatchObject({
      code: 'LOCK_REENTRY',
    });
  });

  test('request-scoped providers run under their locks', async () => {
    const module = await compile(locker, { providers: [PerRequest] });
    const [first, second] = await Promise.all([
      module.resolve(PerRequest, ContextIdFactory.create()),
      module.resolve(PerRequest, ContextIdFactory.create()),
    ]);
    expect(first).not.toBe(second);
    await expect(Promise.all([first.run(), second.run()])).resolves.toEqual(['k', 'k']);
  });

  test('an instance shows nothing of its locker in logs and comparisons', async () => {
    const service = (await compile(locker, { providers: [Base] })).get(Base);
    expect(Reflect.ownKeys(Object.assign({}, service))).toEqual([]);
  });
});

describe('instances that Nest did not construct', () => {
  test('instances of useFactory and useValue run under their locks', async () => {
    const module = await compile(locker, {
      providers: [
        { provide: 'factory', useFactory: () => new Inherits() },
        { provide: 'async factory', useFactory: async () => new Base() },
        { provide: 'value', useValue: new Base() },
        { provide: 'alias', useExisting: 'value' },
        { provide: 'nothing', useValue: null },
      ],
    });
    for (const token of ['factory', 'async factory', 'value', 'alias']) {
      await expect(module.get<Base>(token).run()).resolves.toBe('k');
    }
  });

  test('instances of request-scoped and transient factories run under their locks', async () => {
    const module = await compile(locker, {
      providers: [
        {
          provide: 'request',
          scope: Scope.REQUEST,
          inject: [REQUEST],
          useFactory: () => new Base(),
        },
        { provide: 'transient', scope: Scope.TRANSIENT, useFactory: () => new Base() },
        { provide: 'user', inject: ['transient'], useFactory: (made: Base) => ({ made }) },
      ],
    });
    for (const token of ['request', 'transient']) {
      const [first, second] = [
        await module.resolve<Base>(token, ContextIdFactory.create()),
        await module.resolve<Base>(token, ContextIdFactory.create()),
      ];
      expect(first).not.toBe(second);
      await expect(first.run()).resolves.toBe('k');
      await expect(second.run()).resolves.toBe('k');
    }
    await expect(module.get<{ made: Base }>('user').made.run()).resolves.toBe('k');
  });

  test('instances of factories run under their locks before the application is initialized', async () => {
    const module = await Test.createTestingModule({
      imports: [LockModule.forRoot({ locker })],
      providers: [
        { provide: 'factory', useFactory: () => new Inherits() },
        { provide: 'value', useValue: new Base() },
      ],
    }).compile();
    await expect(module.get<Base>('factory').run()).resolves.toBe('k');
    await expect(module.get<Base>('value').run()).resolves.toBe('k');
    await module.close();
  });

  test('instances of factories use the locker that their module sees', async () => {
    const [left, right] = [aLocker({ label: 'left' }), aLocker({ label: 'right' })];
    class Labelled {
      @WithLock('k')
      async run(): Promise<unknown> {
        return currentLock()?.label;
      }
    }
    const feature = (name: string, own: Locker) => {
      @Module({
        imports: [LockModule.forRoot({ locker: own, isGlobal: false })],
        providers: [{ provide: name, useFactory: () => new Labelled() }],
        exports: [name],
      })
      class Feature {}
      return Feature;
    };
    const module = await compile(null, {
      imports: [feature('left', left), feature('right', right)],
    });
    await expect(module.get<Labelled>('left').run()).resolves.toBe('left');
    await expect(module.get<Labelled>('right').run()).resolves.toBe('right');
  });

  test('an instance of a factory whose module does not see the locker does not boot', async () => {
    @Module({ providers: [{ provide: 'made', useFactory: () => new Base() }] })
    class Feature {}
    const own = LockModule.forRoot({ isGlobal: false });
    await expect(compile(null, { imports: [own, Feature] })).rejects.toThrow(/LockModule/);
  });

  test('an instance of a factory does not run unlocked where there is no LockModule', async () => {
    const module = await compile(null, {
      providers: [{ provide: 'made', useFactory: () => new Base() }],
    });
    await expect(module.get<Base>('made').run()).rejects.toMatchObject({ code: 'LOCK_MISSING' });
  });
});
