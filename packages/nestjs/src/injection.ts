import { Inject } from '@nestjs/common';
import { runtimeProperty, runtimeToken } from './names.ts';
import type { LockRuntime } from './runtime.ts';

/** On a prototype: the names of the lockers that its methods need. */
const LOCKERS = Symbol.for('@holdfast/nestjs:lockers');

/** The names of the lockers that the methods of an instance, or of a prototype, need. */
export function lockersOf(instance: object): readonly string[] {
  return (Reflect.getMetadata(LOCKERS, instance) as readonly string[] | undefined) ?? [];
}

/** Has Nest put what the decorator needs into every instance, and refuse to start without it. */
export function injectRuntime(prototype: object, name: string): void {
  const property = runtimeProperty(name);
  if (property in prototype) return;
  Object.defineProperty(prototype, property, {
    configurable: true,
    get: () => undefined,
    set(this: object, value: LockRuntime) {
      // Not enumerable: it shows neither in logs nor in comparisons of instances.
      Object.defineProperty(this, property, { value, configurable: true, writable: true });
    },
  });
  Inject(runtimeToken(name))(prototype, property);
  Reflect.defineMetadata(LOCKERS, [...lockersOf(prototype), name], prototype);
}

/** What was put into an instance, by the property that `runtimeProperty(name)` answers. */
export function runtimeIn(instance: unknown, property: symbol): LockRuntime | undefined {
  const holder = instance as Record<symbol, LockRuntime | undefined> | null | undefined;
  return holder?.[property];
}

/** Puts a locker into an instance that has none. */
export function connectRuntime(instance: object, name: string, runtime: LockRuntime): void {
  (instance as Record<symbol, LockRuntime>)[runtimeProperty(name)] = runtime;
}
