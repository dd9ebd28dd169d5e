import { LockArgumentError } from '@holdfast/core';

/** Any method; its parameters are checked elsewhere. */
export type Method = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Puts a proxy in a method's place. It has the method's name, its length and whatever else can be seen
 * of it, and the metadata that decorators below have put on it, so that it does not matter which
 * decorators are above it and which are below: routes, schedules and workers find what they look for.
 *
 * @throws LockArgumentError
 */
export function proxyMethod(
  decorator: string,
  target: object,
  descriptor: PropertyDescriptor | undefined,
  wrap: (method: Method) => (self: unknown, args: unknown[]) => unknown,
): void {
  const method: unknown = descriptor?.value;
  if (descriptor === undefined || typeof method !== 'function' || typeof target === 'function') {
    throw new LockArgumentError(`${decorator} is for methods of instances.`);
  }
  const call = wrap(method as Method);
  const proxy = new Proxy(method, {
    apply: (_, self: unknown, args: unknown[]) => call(self, args),
  });
  for (const key of Reflect.getOwnMetadataKeys(method)) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, method), proxy);
  }
  descriptor.value = proxy;
}
