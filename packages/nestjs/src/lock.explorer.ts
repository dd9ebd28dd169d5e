import { Inject } from '@nestjs/common';
import { ModuleRef, type ModulesContainer } from '@nestjs/core';
import { connectRuntime, lockersOf, runtimeIn } from './injection.ts';
import { runtimeProperty, runtimeToken, shared } from './names.ts';
import type { LockRuntime } from './runtime.ts';

type Module = ModulesContainer extends Map<string, infer M> ? M : never;
type Wrapper = Module['providers'] extends Map<unknown, infer W> ? W : never;

/** The applications of this process that have a `LockModule`. */
const applications = shared('applications', () => new Set<WeakRef<ModulesContainer>>());

/** Makes the instances of an application known to {@link connectInstance}. */
export function addApplication(modules: ModulesContainer): void {
  for (const known of applications) {
    if (known.deref() === modules) return;
    if (known.deref() === undefined) applications.delete(known);
  }
  applications.add(new WeakRef(modules));
}

/**
 * Gives instances with `@WithLock` that Nest did not construct, those of `useFactory` and `useValue`,
 * what it injects into those that it did.
 */
export async function connectFactories(modules: ModulesContainer): Promise<void> {
  for (const [wrapper, module] of factoriesOf(modules)) {
    if (wrapper.isTransient || !wrapper.isDependencyTreeStatic()) connectLater(wrapper, module);
    for (const instance of instancesOf(wrapper)) await connect(instance, module);
  }
}

/** The same for one instance, which is called before its application is initialized. */
export async function connectInstance(instance: unknown): Promise<void> {
  for (const known of applications) {
    for (const [wrapper, module] of factoriesOf(known.deref() ?? new Map())) {
      if (instancesOf(wrapper).includes(instance)) await connect(instance, module);
    }
  }
}

function* factoriesOf(modules: ReadonlyMap<string, Module>): Generator<[Wrapper, Module]> {
  for (const module of modules.values()) {
    for (const wrapper of module.providers.values()) {
      if (wrapper.isNotMetatype && !wrapper.isAlias) yield [wrapper, module];
    }
  }
}

function instancesOf(wrapper: Wrapper): unknown[] {
  const transient = wrapper.getStaticTransientInstances().map((host) => host?.instance);
  return [wrapper.instance, ...transient];
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
    if (runtimeIn(instance, runtimeProperty(name)) !== undefined) continue;
    connectRuntime(instance, name, await runtimeFor(module, name));
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
