import {
  LockAbortedError,
  LockMissingError,
  type Key,
  type LockNotAcquiredError,
} from '@holdfast/core';
import {
  Inject,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { defer, tap, type Observable } from 'rxjs';
import { ConsumerLock } from './consumer-lock.ts';
import { guardedObservable, observableOf, type Ending } from './guarded-observable.ts';
import { HandlerRun, propertyOf } from './handler-run.ts';
import type { Use } from './lock-use.ts';
import { DEFAULT_NAME, importOf, runtimeToken } from './names.ts';
import { reactionTo, settingsOf, type LockSettings, type UseLockOptions } from './options.ts';
import { followResponse, rawResponseOf } from './response.ts';
import { isRuntime, MOCKED, type LockRuntime } from './runtime.ts';

/** What an interceptor has of its module. */
const RUNTIME = Symbol.for('@holdfast/nestjs:interceptor');

/** What {@link LockInterceptor} is, whichever locker it has. */
export abstract class BaseLockInterceptor implements NestInterceptor {
  /**
   * The key of this request's lock; `null`: it needs none.
   */
  protected abstract getKey(context: ExecutionContext): Key | null | PromiseLike<Key | null>;

  /** The options of this request's lock. */
  protected getOptions(_context: ExecutionContext): UseLockOptions {
    return {};
  }

  /**
   * The lock is busy: returns what the handler would have, or throws. By default what the option
   * `onLocked` says.
   */
  protected onRejected(context: ExecutionContext, error: LockNotAcquiredError): unknown {
    return reactionTo(settingsOf(this.getOptions(context)).onLocked)(error);
  }

  /** Whether code finds the key, or the options, for each request: what is wrong may be the request. */
  protected isComputed(): boolean {
    return true;
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return defer(() => {
      const runtime: unknown = (this as { [RUNTIME]?: unknown })[RUNTIME];
      if (!isRuntime(runtime)) throw withoutLocker(runtime, describe(this, context));
      const settings = settingsOf(this.getOptions(context));
      const interception = new Interception(context, runtime, settings);
      return interception.around(next, {
        key: () => this.getKey(context),
        onLocked: (error) => this.onRejected(context, error),
        describe: () => describe(this, context),
        computed: this.isComputed(),
      });
    });
  }
}

/** Names an interceptor and the handler that it is on, as far as a context of a unit test says. */
function describe(interceptor: object, context: Partial<ExecutionContext>): string {
  // That of a decorator is called after it and what it is on.
  const [name] = interceptor.constructor.name.split(' ');
  const handler = [context.getClass?.().name, context.getHandler?.().name].filter(Boolean);
  return `${name} on ${handler.join('.')}`;
}

function withoutLocker(found: unknown, name: string): LockMissingError {
  return new LockMissingError(
    found === undefined
      ? `${name} has no locker. Import ${importOf(DEFAULT_NAME)}, and give Nest the class of the ` +
          'interceptor rather than an instance.'
      : `${name} ${MOCKED} Import ${importOf(DEFAULT_NAME)} in the testing module.`,
  );
}

/** Gives a class of interceptors its locker, from the module that imports it. */
export function injectLocker(type: { readonly prototype: object }, name: string): void {
  Inject(runtimeToken(name))(type.prototype, RUNTIME);
}

/**
 * Runs route handlers, resolvers and message handlers under a lock whose key comes from the execution
 * context: from before the pipes until the handler is done and what it returned is consumed. `@UseLock`
 * is the short form; derive from this for keys that need injected services.
 *
 * @example
 * ```ts
 * @Injectable()
 * class TenantLock extends LockInterceptor {
 *   constructor(private readonly tenants: TenantService) { super(); }
 *   protected override async getKey(context: ExecutionContext) {
 *     return `tenant:${await this.tenants.of(context.switchToHttp().getRequest())}`;
 *   }
 * }
 *
 * @UseInterceptors(TenantLock)
 * @Controller('imports')
 * export class ImportController {}
 * ```
 */
export abstract class LockInterceptor extends BaseLockInterceptor {}
injectLocker(LockInterceptor, DEFAULT_NAME);

/** What an interceptor says of a request's lock. */
interface InterceptionHooks {
  readonly key: () => Key | null | PromiseLike<Key | null>;
  readonly onLocked: (error: LockNotAcquiredError) => unknown;
  readonly describe: () => string;
  readonly computed: boolean;
}

/** One request that runs under a lock. */
class Interception {
  /** Ends the wait for the lock. */
  private readonly control = new AbortController();
  /** Aborts the signal of the lock. */
  private readonly gone: AbortController | undefined;
  private readonly run: HandlerRun;
  private holding = false;
  private emitted = false;

  constructor(
    private readonly context: ExecutionContext,
    private readonly runtime: LockRuntime,
    private readonly settings: LockSettings,
  ) {
    const type = context.getClass();
    this.run = new HandlerRun(type, propertyOf(type, context.getHandler()));
    this.gone = settings.abortOnDisconnect ? new AbortController() : undefined;
  }

  around(next: CallHandler, hooks: InterceptionHooks): Observable<unknown> {
    const { context, control, runtime, run, settings } = this;
    const purpose = { property: run.property, type: run.type, methods: [] };
    this.watchClient();
    return guardedObservable({
      consumerLock: new ConsumerLock((wanted) =>
        runtime.acquire({
          ...hooks,
          settings,
          context,
          purpose,
          joins: ({ type, property }) => type === run.type && property === run.property,
          control: wanted,
          gone: this.gone?.signal,
        }),
      ),
      control,
      open: () => {
        if (control.signal.aborted) {
          throw runtime.exceptionFor(control.signal.reason, { computed: true, context, settings });
        }
        this.holding = true;
        const emitted = tap(() => (this.emitted = true));
        return run.enter(() => next.handle()).pipe(emitted);
      },
      instead: observableOf,
      done: (use, how) => this.done(use, how),
    });
  }

  /** Of HTTP requests. */
  private get response(): ReturnType<typeof rawResponseOf> {
    const isHttp = this.context.getType() === 'http';
    return isHttp ? rawResponseOf(this.context.switchToHttp().getResponse()) : undefined;
  }

  /** A client that goes away waits for no lock any more; one that is held, is held on. */
  private watchClient(): void {
    const { response } = this;
    const closed = (): void => {
      if (response?.writableEnded === true) return;
      const reason = new LockAbortedError('The client went away.');
      this.gone?.abort(reason);
      if (!this.holding) this.control.abort(reason);
    };
    if (response?.destroyed === true) closed();
    response?.once('close', closed);
  }

  private async done(use: Use, how: Ending): Promise<void> {
    const { response, run } = this;
    const gone = how === 'abandoned';
    if (gone) this.gone?.abort(new LockAbortedError('Nobody wants the result any more.'));
    if (run.state === 'running') {
      // An interceptor has given it up, or the client has.
      void run.settled().then(() => use.end());
    } else if (gone && run.state === 'unknown' && !this.emitted) {
      use.leave();
    } else if (how === 'completed' && response?.writableEnded === false && run.sendsItself) {
      followResponse(response, use);
    } else {
      await use.end();
    }
  }
}
