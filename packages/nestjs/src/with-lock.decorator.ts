import { isKey, LockArgumentError, LockMissingError, type Key } from '@holdfast/core';
import type { ExecutionContext } from '@nestjs/common';
import { currentExecution } from './execution-scope.ts';
import { insteadOf, observableOf } from './guarded-observable.ts';
import { propertyOf } from './handler-run.ts';
import { callLocked, resultKindOf, type LockedCall } from './locked-call.ts';
import { injectRuntime, runtimeIn } from './injection.ts';
import { connectInstance } from './lock.explorer.ts';
import { importOf, runtimeProperty } from './names.ts';
import {
  reactionTo,
  settingsOf,
  type LockSettings,
  type OnBusy,
  type WithLockOptions,
} from './options.ts';
import { proxyMethod, type Method } from './proxy-method.ts';
import { followResponse, openResponseAmong } from './response.ts';
import { isRuntime, MOCKED, type LockRuntime, type Purpose } from './runtime.ts';
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
export function WithLock<
  const K extends Key | LockKeyFunction,
  B extends OnBusy = 'throw',
  R = never,
>(key: K, options?: WithLockOptions<B, R>): WithLockDecorator<K, NoInfer<B>, NoInfer<R>> {
  const settings = settingsOf(options);
  if (typeof key !== 'function' && !isKey(key)) {
    throw new LockArgumentError(
      'The key of @WithLock must be a non-empty string, a list of them, or a function of the arguments.',
    );
  }
  return (target, property, descriptor) => {
    proxyMethod('@WithLock', target, descriptor, (method) => {
      const kind = resultKindOf(method, target, property);
      const locked = new LockedMethod(method, property, key, settings);
      return (self, args) => callLocked(kind, locked.call(self, args));
    });
    injectRuntime(target, settings.name);
  };
}

/** A method with `@WithLock`. */
class LockedMethod {
  private readonly runtime: symbol;

  constructor(
    private readonly method: Method,
    private readonly property: string | symbol,
    private readonly key: Key | LockKeyFunction,
    private readonly settings: LockSettings,
  ) {
    this.runtime = runtimeProperty(settings.name);
  }

  call(self: unknown, args: unknown[]): LockedCall {
    const { method, property, key, settings } = this;
    const context = currentExecution();
    const purpose: Purpose = { self, property, methods: [method] };
    return {
      acquire: async (control) =>
        (await this.runtimeOf(self)).acquire({
          key: () => (typeof key === 'function' ? key.apply(self, args) : key),
          computed: typeof key === 'function',
          describe: () => `@WithLock on ${this.nameIn(self)}`,
          settings,
          onLocked: reactionTo(settings.onLocked),
          purpose,
          joins: (outer) => isSameRun(outer, purpose),
          control,
        }),
      invoke: () => Reflect.apply(method, self, args),
      invoked: (lockUse) => {
        const response = openResponseAmong(self, property, args);
        if (response !== undefined) followResponse(response, lockUse.begin());
      },
      instead: (value) =>
        isAnswer(context, self, property) ? observableOf(value) : insteadOf(value),
    };
  }

  private nameIn(self: unknown): string {
    const type = (self as object | undefined)?.constructor.name ?? '(no instance)';
    return `${type}.${String(this.property)}`;
  }

  /** @throws LockMissingError */
  private runtimeOf(self: unknown): LockRuntime | Promise<LockRuntime> {
    const runtime = runtimeIn(self, this.runtime);
    if (runtime === undefined) return this.connect(self);
    if (isRuntime(runtime)) return runtime;
    throw new LockMissingError(
      `${this.nameIn(self)} has @WithLock, and ${MOCKED} Import ${importOf(this.settings.name)} in the ` +
        'testing module.',
    );
  }

  /**
   * Nest has put no locker into the instance, or not yet.
   *
   * @throws LockMissingError
   */
  private async connect(self: unknown): Promise<LockRuntime> {
    await connectInstance(self);
    const runtime = runtimeIn(self, this.runtime);
    if (runtime !== undefined) return runtime;
    throw new LockMissingError(
      `${this.nameIn(self)} has @WithLock but no locker. Import ${importOf(this.settings.name)}, and let ` +
        'Nest make the instance, which has a locker once its constructor has returned. In a unit test, ' +
        'pass an instance that you made to `provideLocker()`.',
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

/** By which Nest knows a handler whose values are events. */
const SSE = '__sse__';

/**
 * Whether what a method returns is the one answer to a request or a query: of an Observable without values
 * Nest makes an internal error there.
 */
function isAnswer(
  context: ExecutionContext | undefined,
  self: unknown,
  property: string | symbol,
): boolean {
  if (context === undefined || ['rpc', 'ws'].includes(context.getType())) return false;
  const [type, handler] = [context.getClass(), context.getHandler()];
  if ((self as object).constructor !== type || propertyOf(type, handler) !== property) return false;
  return !Reflect.hasMetadata(SSE, handler);
}
