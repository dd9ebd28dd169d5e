// What users may write: it must compile, on every version of TypeScript that is supported.
import { createLocker, type Lock, type Locker, type LockerOptions } from '@holdfast/core';
import {
  assertLocked,
  currentLock,
  getLockerToken,
  InjectLocker,
  LockInterceptor,
  LockModule,
  provideLocker,
  UseLock,
  WithLock,
  type ContextKeyFunction,
  type LockHttpException,
  type LockKeyFunction,
  type LockModuleAsyncOptions,
  type LockModuleOptions,
  type LockOptionsFactory,
  type UseLockOptions,
  type WithLockOptions,
} from '@holdfast/nestjs';
import type { DynamicModule, ExecutionContext } from '@nestjs/common';
import { Observable, of, type Subject } from 'rxjs';

interface Dto {
  readonly id: string;
  readonly amount?: number;
}

declare const ofMethod: WithLockOptions;

export class Service {
  constructor(@InjectLocker() readonly locker: Locker) {}

  @InjectLocker('reports')
  readonly reports!: Locker;

  @WithLock('constant')
  async constant(): Promise<void> {}

  @WithLock(['a', 'b'])
  async several(): Promise<void> {}

  @WithLock((id: string) => `order:${id}`)
  async same(_id: string): Promise<void> {}

  @WithLock((id: string) => `order:${id}`, { wait: 2_000 })
  async fewer(_id: string, _dto: Dto): Promise<void> {}

  @WithLock((id: string | number) => `order:${id}`)
  async wider(_id: string): Promise<void> {}

  @WithLock((id: string, tenant?: string) => [id, tenant ?? 'none'])
  async optional(_id: string, _tenant?: string): Promise<void> {}

  @WithLock((...ids: string[]) => ids)
  async rest(..._ids: string[]): Promise<void> {}

  @WithLock((dto: { id: string }) => dto.id)
  async structural(_dto: Dto): Promise<void> {}

  @WithLock(async (id: string) => `order:${id}`)
  async asynchronousKey(_id: string): Promise<void> {}

  @WithLock((id: string | null) => id)
  async perhaps(_id: string | null): Promise<void> {}

  @WithLock((id) => `order:${id}`)
  async untyped(_id: string): Promise<void> {}

  @WithLock((value: unknown) => String(value))
  async generic<T>(value: T): Promise<T> {
    return value;
  }

  @WithLock('promise')
  plain(): Promise<number> {
    return Promise.resolve(1);
  }

  @WithLock('promiselike')
  thenable(): PromiseLike<number> {
    return Promise.resolve(1);
  }

  @WithLock('observable')
  observable(): Observable<number> {
    return of(1);
  }

  @WithLock('subject')
  subject(): Subject<number> {
    throw new Error();
  }

  @WithLock('generator')
  async *generator(): AsyncGenerator<number> {
    yield 1;
  }

  @WithLock('iterable')
  iterable(): AsyncIterable<number> {
    return this.generator();
  }

  @WithLock('either')
  either(): Promise<number> | Observable<number> {
    return of(1);
  }

  @WithLock('any')
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  any(): any {}

  @WithLock('never')
  async never(): Promise<never> {
    throw new Error();
  }

  @WithLock('all', {
    ttl: 10_000,
    wait: undefined,
    maxHold: 60_000,
    holdAtLeast: 1_000,
    name: 'reports',
    reentry: 'join',
    onLocked: (error) => error.waited,
  })
  async options(): Promise<void> {}

  @WithLock('skip', { onLocked: 'skip' })
  async skipNumber(): Promise<number | undefined> {
    return 1;
  }

  @WithLock('skip', { onLocked: 'skip' })
  skipValues(): Observable<number> {
    return of(1);
  }

  @WithLock('instead', { onLocked: () => 0 })
  async insteadOfNumber(): Promise<number> {
    return 1;
  }

  @WithLock('instead', { onLocked: async (error) => `${error.code}` })
  async insteadOfText(): Promise<string> {
    return 'text';
  }

  @WithLock('mapped', {
    onLocked: () => {
      throw new Error('busy');
    },
  })
  async mapped(): Promise<number> {
    return 1;
  }

  @WithLock('throws', { onLocked: 'throw', statusCode: 409, retryAfter: 5 })
  async throws(): Promise<number> {
    return 1;
  }

  @WithLock('unknown', ofMethod)
  async unknown(): Promise<number> {
    return 1;
  }

  @WithLock('skip', { onLocked: 'skip' } satisfies WithLockOptions)
  async skip(): Promise<void> {
    const lock: Lock = assertLocked('skip');
    lock.signal.aborted satisfies boolean;
    currentLock()?.fencingToken satisfies number | undefined;
  }
}

const byTenant: ContextKeyFunction = (context) => context.getClass().name;
const byId: LockKeyFunction = (id: string) => id;

@UseLock(byTenant)
export class Controller {
  @UseLock((context) => context.getHandler().name, { abortOnDisconnect: false, wait: 0 })
  plain(): string {
    return 'handlers of routes need not be async';
  }

  @UseLock(['a', 'b'])
  @WithLock(byId)
  async both(_id: string): Promise<void> {}
}

export class TenantLock extends LockInterceptor {
  protected override async getKey(_context: ExecutionContext): Promise<string | null> {
    return null;
  }

  protected override getOptions(): UseLockOptions {
    return { wait: 0 };
  }

  protected override onRejected(_context: ExecutionContext, error: Error): unknown {
    throw error;
  }
}

class Factory implements LockOptionsFactory {
  createLockOptions(): LockModuleOptions {
    return { locker: createLocker() };
  }
}

declare const ofLocker: LockerOptions;
const asynchronous: LockModuleAsyncOptions = { useClass: Factory, name: 'a', isGlobal: false };
export const modules: DynamicModule[] = [
  LockModule.forRoot(),
  LockModule.forRoot({
    locker: createLocker(),
    exceptionFactory: (error) => new Error(error.code),
  }),
  LockModule.forRoot({ ttl: 5_000, name: 'reports', isGlobal: false, shutdownTimeout: 1_000 }),
  LockModule.forRoot(ofLocker),
  LockModule.forRoot({ statusCode: 409, retryAfter: 5, serveWaiting: true }),
  LockModule.forRoot({ enabled: false, name: undefined }),
  LockModule.forRootAsync({ useFactory: (ttl: number) => ({ ttl }), inject: ['TTL'] }),
  LockModule.forRootAsync({ useFactory: async () => ({ locker: createLocker() }) }),
  LockModule.forRootAsync(asynchronous),
  LockModule.forRootAsync({ useExisting: Factory }),
];
export const provided: Service = provideLocker(new Service(createLocker()), createLocker());
export const codeOf = (exception: LockHttpException): string =>
  `${exception.code} ${exception.getStatus()} ${exception.cause.code}`;
export const token: symbol = getLockerToken('reports');
