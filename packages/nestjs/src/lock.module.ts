import { randomUUID } from 'node:crypto';
import { createLocker, LockArgumentError, type Locker } from '@holdfast/core';
import {
  Inject,
  Module,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type OnApplicationShutdown,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { APP_INTERCEPTOR, ModulesContainer } from '@nestjs/core';
import type {
  LockModuleAsyncOptions,
  LockModuleIdentity,
  LockModuleOptions,
  LockOptionsFactory,
  ShortLockOptionsFactory,
} from './lock-module.options.ts';
import { checkModuleOptions } from './check-module-options.ts';
import { addApplication, connectFactories } from './lock.explorer.ts';
import { checkName, getLockerToken, runtimeToken } from './names.ts';
import { RetryAfterInterceptor } from './retry-after.interceptor.ts';
import { LockRuntime } from './runtime.ts';

/** ms for what is held at shutdown. */
const SHUTDOWN_TIMEOUT = 10_000;
/** The longest that a timer takes, in ms. */
const LONGEST = 2 ** 31 - 1;

const OPTIONS = Symbol('the options of LockModule.forRoot()');
const OPTIONS_FACTORY = Symbol('the options factory of LockModule.forRootAsync()');
const RUNTIME = Symbol('what LockModule.forRoot() provides');

/** Lockers that modules made, and not their users. */
const own = new WeakSet<Locker>();

/**
 * Provides a locker to the decorators and to `@InjectLocker()`, drains what they hold when the
 * application shuts down, and puts `Retry-After` on responses to requests that found a lock busy.
 *
 * @example
 * ```ts
 * @Module({
 *   imports: [
 *     LockModule.forRootAsync({
 *       inject: [Redis],
 *       useFactory: (redis: Redis) => ({ store: redisStore(redis) }),
 *     }),
 *   ],
 * })
 * export class AppModule {}
 * ```
 */
@Module({})
export class LockModule implements OnModuleInit, BeforeApplicationShutdown, OnApplicationShutdown {
  @Inject(RUNTIME)
  private readonly runtime!: LockRuntime;

  @Inject(ModulesContainer)
  private readonly modules!: ModulesContainer;

  /**
   * @param options of the locker to make, by default on a memory store, or a `locker`
   * @throws LockArgumentError
   */
  static forRoot(options: LockModuleOptions & LockModuleIdentity = {}): DynamicModule {
    const { name, isGlobal, ...rest } = checkModuleOptions(options);
    return moduleFor({ name, isGlobal }, [{ provide: OPTIONS, useFactory: () => rest }]);
  }

  /**
   * As {@link forRoot}, with options that other providers make. Those are checked when the application
   * boots.
   *
   * @throws LockArgumentError
   */
  static forRootAsync(options: LockModuleAsyncOptions): DynamicModule {
    return { ...moduleFor(options, asyncOptions(options)), imports: options.imports ?? [] };
  }

  async onModuleInit(): Promise<void> {
    await connectFactories(this.modules);
  }

  beforeApplicationShutdown(): void {
    this.runtime.stopWaiting();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.runtime.close();
  }
}

function moduleFor({ name, isGlobal }: LockModuleIdentity, options: Provider[]): DynamicModule {
  const named = checkName(name);
  return {
    module: LockModule,
    global: isGlobal ?? true,
    providers: [
      ...options,
      {
        provide: getLockerToken(named),
        inject: [OPTIONS],
        useFactory: (given: LockModuleOptions) => lockerFor(named, given),
      },
      {
        provide: runtimeToken(named),
        inject: [OPTIONS, getLockerToken(named), ModulesContainer],
        useFactory: runtimeFor,
      },
      { provide: RUNTIME, useExisting: runtimeToken(named) },
      { provide: APP_INTERCEPTOR, useClass: RetryAfterInterceptor },
      // Nest 10 takes modules with equal providers for one, and functions with equal sources for equal.
      { provide: Symbol('id'), useValue: randomUUID() },
    ],
    exports: [getLockerToken(named), runtimeToken(named)],
  };
}

function asyncOptions(options: LockModuleAsyncOptions): Provider[] {
  const { inject = [], useFactory, useClass, useExisting, name } = options;
  const checked = async (made: LockModuleOptions | Promise<LockModuleOptions>) => {
    const { name: given, ...rest } = checkModuleOptions(
      (await made) as LockModuleOptions & LockModuleIdentity,
    );
    if (given === name || given === undefined) return rest;
    throw new LockArgumentError('`name` is an option of `LockModule.forRootAsync()` itself.');
  };
  if (useFactory !== undefined) {
    return [
      {
        provide: OPTIONS,
        inject,
        useFactory: (...args: unknown[]) => checked(useFactory(...args)),
      },
    ];
  }
  const factory = useExisting ?? useClass;
  if (factory === undefined) {
    throw new LockArgumentError(
      '`LockModule.forRootAsync()` needs `useFactory`, `useClass` or `useExisting`.',
    );
  }
  const create = {
    provide: OPTIONS,
    inject: [useExisting ?? OPTIONS_FACTORY],
    useFactory: (made: LockOptionsFactory | ShortLockOptionsFactory) =>
      checked('create' in made ? made.create() : made.createLockOptions()),
  };
  if (useClass === undefined) return [create];
  return [create, { provide: OPTIONS_FACTORY, useClass }];
}

/** @throws LockArgumentError */
function lockerFor(name: string, options: LockModuleOptions): Locker {
  const { enabled = true, exceptionFactory: _, shutdownTimeout: __, locker, ...rest } = options;
  if (enabled && locker !== undefined) return locker;
  const made = createLocker({ ...rest, store: enabled ? rest.store : undefined, name });
  own.add(made);
  return made;
}

function runtimeFor(
  options: LockModuleOptions,
  locker: Locker,
  modules: ModulesContainer,
): LockRuntime {
  const { wait, exceptionFactory, shutdownTimeout = SHUTDOWN_TIMEOUT } = options;
  addApplication(modules);
  return new LockRuntime(locker, {
    wait,
    shutdownTimeout: Math.min(shutdownTimeout, LONGEST),
    exceptionFactory,
    own: own.has(locker),
  });
}
