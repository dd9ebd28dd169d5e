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
import { checkModuleOptions, lockerOptionsIn } from './check-module-options.ts';
import { LockContextInterceptor, reachMessageHandlers } from './lock-context.interceptor.ts';
import { LockExceptions } from './lock-exceptions.ts';
import { addApplication, connectFactories } from './lock.explorer.ts';
import { checkName, getLockerToken, importOf, MODULE_RUNTIME, runtimeToken } from './names.ts';
import { LockRuntime } from './runtime.ts';

/** ms for what is held at shutdown. */
const SHUTDOWN_TIMEOUT = 10_000;
/** The longest that a timer takes, in ms. */
const LONGEST_TIMER = 2 ** 31 - 1;

const OPTIONS = Symbol('the options of LockModule.forRoot()');
const OPTIONS_FACTORY = Symbol('the options factory of LockModule.forRootAsync()');

/** Lockers that modules made, and not their users. */
const madeHere = new WeakSet<Locker>();

/**
 * Provides a locker to the decorators and to `@InjectLocker()`, answers HTTP requests that do not get their
 * lock, and drains the decorators' locks when the application shuts down.
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
  @Inject(MODULE_RUNTIME)
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

function moduleFor(
  { name, isGlobal = true }: LockModuleIdentity,
  options: Provider[],
): DynamicModule {
  const named = checkName(name);
  return {
    module: LockModule,
    global: isGlobal,
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
        useFactory: (given: LockModuleOptions, locker: Locker, modules: ModulesContainer) => {
          if (isGlobal) claimGlobalName(named, modules);
          return runtimeFor(given, locker, modules);
        },
      },
      { provide: MODULE_RUNTIME, useExisting: runtimeToken(named) },
      { provide: APP_INTERCEPTOR, useClass: LockContextInterceptor },
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
    useFactory: (made: Partial<LockOptionsFactory & ShortLockOptionsFactory>) => {
      const make = made.create ?? made.createLockOptions;
      if (typeof make === 'function') return checked(make.call(made));
      throw new LockArgumentError(
        'The class of `useClass` or `useExisting` of `LockModule.forRootAsync()` needs a method ' +
          '`createLockOptions()`.',
      );
    },
  };
  if (useClass === undefined) return [create];
  return [create, { provide: OPTIONS_FACTORY, useClass }];
}

/** @throws LockArgumentError */
function lockerFor(name: string, options: LockModuleOptions): Locker {
  const { enabled = true, locker, store } = options;
  if (enabled && locker !== undefined) return locker;
  const made = createLocker({
    ...lockerOptionsIn(options),
    store: enabled ? store : undefined,
    name,
  });
  madeHere.add(made);
  return made;
}

function runtimeFor(
  {
    shutdownTimeout = SHUTDOWN_TIMEOUT,
    serveWaiting = false,
    throwIfLost = false,
    wait,
    ...options
  }: LockModuleOptions,
  locker: Locker,
  modules: ModulesContainer,
): LockRuntime {
  addApplication(modules);
  reachMessageHandlers(modules);
  return new LockRuntime(locker, new LockExceptions(options), {
    wait,
    throwIfLost,
    serveWaiting,
    shutdownTimeout: Math.min(shutdownTimeout, LONGEST_TIMER),
    own: madeHere.has(locker),
  });
}

/** The names of the global lockers of each application. */
const globalNames = new WeakMap<ModulesContainer, Set<string>>();

/**
 * Two of one name would be two lockers on whatever store each has, and which of them a provider gets would
 * depend on where it is.
 *
 * @throws LockArgumentError
 */
function claimGlobalName(name: string, modules: ModulesContainer): void {
  const names = globalNames.get(modules) ?? new Set();
  globalNames.set(modules, names);
  if (names.has(name)) {
    throw new LockArgumentError(
      `The application has two global lockers of the name '${name}': ${importOf(name)}, or ` +
        'forRootAsync(), is imported twice. Import it once, in the root module: feature modules need no ' +
        'import of it. Give a second locker a `name` of its own, or `isGlobal: false` to be seen only ' +
        'where it is imported.',
    );
  }
  names.add(name);
}
