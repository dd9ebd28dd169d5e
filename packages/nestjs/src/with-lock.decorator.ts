import { LockArgumentError, LockMissingError, type Key } from '@holdfast/core';
import { callLocked, resultKindOf, type LockedCall } from './locked-call.ts';
import { injectRuntime, runtimeIn } from './injection.ts';
import { connectInstance } from './lock.explorer.ts';
import { checkName, importOf } from './names.ts';
import { checkOptions, reactionTo, type WithLockOptions } from './options.ts';
import { proxyMethod, type Method } from './proxy-method.ts';
import { followResponse, openResponseAmong } from './response.ts';
import type { LockRuntime, Purpose } from './runtime.ts';
import type { LockKeyFunction, WithLockDecorator } from './with-lock.types.ts';

/**
 * Runs a method of a provider, controller, resolver, gateway, worker or scheduled job under a lock: from
 * the call until its promise has settled, or while its Observable is subscribed, its iterable pulled or
 * its stream read. The method finds its lock with `currentLock()`.
 *
 * @param key constant, several, or a function of the method's arguments, which may be async; `null` for
 * no lock
 * @throws LockArgumentError when the class is defined
 * @throws LockMissingError at the call, if the instance does not come from Nest or `LockModule` is missing
 * @throws LockNotAcquiredError at the call, unless `onLocked` says otherwise, and all that
 * `Locker.lock()` throws
 * @example
 * ```ts
 * @WithLock((id: string) => `order:${id}`, { wait: 2_000 })
 * async pay(id: string, dto: PayDto) {
 *   await bank.charge(dto, { signal: currentLock()!.signal });
 * }
 * ```
 */
export function WithLock<const K extends Key | LockKeyFunction>(
  key: K,
  options?: WithLockOptions,
): WithLockDecorator<K> {
  const checked = checkOptions(options);
  const name = checkName(checked.name);
  if (typeof key !== 'string' && typeof key !== 'function' && !Array.isArray(key)) {
    throw new LockArgumentError('The key of @WithLock must be a string, a list or a function.');
  }
  return (target, property, descriptor) => {
    proxyMethod('@WithLock', target, descriptor, (method) => {
      const kind = resultKindOf(method, target, property);
      const locked = new LockedMethod(method, property, key, checked, name);
      return (self, args) => callLocked(kind, locked.call(self, args));
    });
    injectRuntime(target, name);
  };
}

/** A method with `@WithLock`. */
class LockedMethod {
  constructor(
    private readonly method: Method,
    private readonly property: string | symbol,
    private readonly key: Key | LockKeyFunction,
    private readonly options: WithLockOptions,
    private readonly name: string,
  ) {}

  call(self: unknown, args: unknown[]): LockedCall {
    const { method, property, key, options } = this;
    const purpose: Purpose = { self, property, methods: [method] };
    return {
      acquire: async (control) =>
        (runtimeIn(self, this.name) ?? (await this.connect(self))).acquire({
          key: () => (typeof key === 'function' ? key.apply(self, args) : key),
          options,
          onLocked: reactionTo(options.onLocked),
          purpose,
          joins: (outer) => isSameRun(outer, purpose),
          control,
        }),
      invoke: () => Reflect.apply(method, self, args),
      invoked: (lockUse) => {
        const response = openResponseAmong(self, property, args);
        if (response !== undefined) followResponse(response, lockUse.begin());
      },
    };
  }

  /**
   * Nest has put no locker into the instance, or not yet.
   *
   * @throws LockMissingError
   */
  private async connect(self: unknown): Promise<LockRuntime> {
    await connectInstance(self);
    const runtime = runtimeIn(self, this.name);
    if (runtime !== undefined) return runtime;
    const type = (self as object | undefined)?.constructor.name ?? '(no instance)';
    throw new LockMissingError(
      `${type}.${String(this.property)} has @WithLock but no locker. Import ${importOf(this.name)}, ` +
        'and let Nest make the instance: it has a locker once its constructor has returned.',
    );
  }
}

/**
 * Whether a method runs as part of what `outer` is for: its route handler, the override that calls it
 * with `super`, or the same method with another decorator. A method that calls itself does not.
 */
function isSameRun(outer: Purpose, { self, property, methods: [method] }: Purpose): boolean {
  if (outer.property !== property) return false;
  if (outer.type !== undefined) return (self as object).constructor === outer.type;
  return outer.self === self && !outer.methods.includes(method);
}
