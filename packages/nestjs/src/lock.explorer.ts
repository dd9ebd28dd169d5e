import { Inject } from '@nestjs/common';
import { ModuleRef, type ModulesContainer } from '@nestjs/core';
import { runtimeProperty, runtimeToken } from './names.ts';
import type { LockRuntime } from './runtime.ts';
import { lockersOf } from './with-lock.decorator.ts';

type Module = ModulesContainer extends Map<string, infer M> ? M : never;
type Wrapper = Module['providers'] extends Map<unknown, infer W> ? W : never;

/**
 * Gives instances with `@WithLock` that Nest did not construct, those of `useFactory` and `useValue`,
 * what it injects into those that it did.
 */
export async function connectFactories(modules: ModulesContainer): Promise<void> {
  for (const module of modules.values()) {
    for (const wrapper of module.providers.values()) {
      if (wrapper.isNotMetatype && !wrapper.isAlias) await connectProvider(wrapper, module);
    }
  }
}

async function connectProvider(wrapper: Wrapper, module: Module): Promise<void> {
  if (wrapper.isTransient || !wrapper.isDependencyTreeStatic()) {
    connectLater(wrapper, module);
    for (const host of wrapper.getStaticTransientInstances()) await connect(host?.instance, module);
  } else {
    await connect(wrapper.instance, module);
  }
}

/** A factory that is called for each request, or for each who asks. */
function connectLater(wrapper: Wrapper, module: Module): void {
  const factory = wrapper.metatype as (...args: unknown[]) => unknown;
  wrapper.metatype = async (...args: unknown[]) => {
    const instance = await factory(...args);
    await connect(instance, module);
    return instance;
  };
}

async function connect(instance: unknown, module: Module): Promise<void> {
  if (typeof instance !== 'object' || instance === null) return;
  for (const name of lockersOf(instance)) {
    const property = runtimeProperty(name);
    const own = instance as Record<symbol, LockRuntime | undefined>;
    own[property] ??= await runtimeFor(module, name);
  }
}

/** As a provider of the module would have it injected, or an error of Nest's that says what to import. */
async function runtimeFor(module: Module, name: string): Promise<LockRuntime> {
  class UsesWithLock {
    runtime!: LockRuntime;
  }
  Inject(runtimeToken(name))(UsesWithLock.prototype, 'runtime');
  const moduleRef = module.getProviderByKey<ModuleRef>(ModuleRef).instance;
  return (await moduleRef.create(UsesWithLock)).runtime;
}
