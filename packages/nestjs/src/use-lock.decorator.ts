import { isKey, LockArgumentError, type Key } from '@holdfast/core';
import { UseInterceptors, type ExecutionContext } from '@nestjs/common';
import { handlerReturned } from './handler-run.ts';
import { BaseLockInterceptor, injectLocker } from './lock.interceptor.ts';
import { settingsOf, type UseLockOptions } from './options.ts';
import { proxyMethod } from './proxy-method.ts';

/** The key of a request's lock. `null`: this request needs no lock. */
export type ContextKeyFunction = (
  context: ExecutionContext,
) => Key | null | PromiseLike<Key | null>;

/**
 * Runs a route handler, resolver or message handler, or all of a controller, under a lock whose key
 * comes from the request, with a {@link LockInterceptor}. With `@WithLock` on the same method and for
 * the same key, the lock is taken once.
 *
 * @param key constant, several, or a function of the execution context, which may be async
 * @throws LockArgumentError when the class is defined
 * @throws LockNotAcquiredError at the request, unless `onLocked` says otherwise, and all that
 * `Locker.lock()` throws
 * @example
 * ```ts
 * @UseLock((context) => `order:${context.switchToHttp().getRequest().params.id}`)
 * @Post(':id/ship')
 * ship() {}
 * ```
 */
export function UseLock(
  key: Key | ContextKeyFunction,
  options: UseLockOptions = {},
): ClassDecorator & MethodDecorator {
  const { name } = settingsOf(options);
  if (typeof key !== 'function' && !isKey(key)) {
    throw new LockArgumentError(
      'The key of @UseLock must be a non-empty string, a list of them, or a function of the context.',
    );
  }
  class RequestLock extends BaseLockInterceptor {
    protected override getKey(context: ExecutionContext): ReturnType<ContextKeyFunction> {
      return typeof key === 'function' ? key(context) : key;
    }

    protected override getOptions(): UseLockOptions {
      return options;
    }

    protected override isComputed(): boolean {
      return typeof key === 'function';
    }
  }
  injectLocker(RequestLock, name);
  const intercept = UseInterceptors(RequestLock);
  return (target: object, property?: string | symbol, descriptor?: PropertyDescriptor): void => {
    // Where there is no locker, Nest's error names the class that it cannot make.
    const on = property === undefined ? target : target.constructor;
    const place = [(on as { name: string }).name, ...(property === undefined ? [] : [property])];
    Object.defineProperty(RequestLock, 'name', {
      value: `@UseLock on ${place.map(String).join('.')}`,
    });
    if (property === undefined || descriptor === undefined) {
      tellOfMethods((target as { prototype: object }).prototype);
      intercept(target as never);
    } else {
      tellWhenCalled(target, property, descriptor);
      intercept(target, property, descriptor);
    }
  };
}

function tellWhenCalled(
  target: object,
  property: string | symbol,
  descriptor: PropertyDescriptor,
): void {
  proxyMethod('@UseLock', target, descriptor, (method) => (self, args) => {
    const result = Reflect.apply(method, self, args);
    handlerReturned(self as object, property, result);
    return result;
  });
}

/** Any of a controller's methods may be a handler. */
function tellOfMethods(prototype: object): void {
  for (const [property, descriptor] of Object.entries(
    Object.getOwnPropertyDescriptors(prototype),
  )) {
    if (property === 'constructor' || typeof descriptor.value !== 'function') continue;
    tellWhenCalled(prototype, property, descriptor);
    Object.defineProperty(prototype, property, descriptor);
  }
}
