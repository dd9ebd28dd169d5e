import type { Locker, LockNotAcquiredError } from '@holdfast/core';
import { currentLock, LockInterceptor, LockModule, type UseLockOptions } from '@holdfast/nestjs';
import {
  Controller,
  Get,
  GoneException,
  Injectable,
  Query,
  UseInterceptors,
  type ExecutionContext,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { EMPTY } from 'rxjs';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, call, serve, until, Work } from './kit/index.ts';

let locker: Locker;
let work: Work;
/** Keys, in the order in which locks were taken. */
let taken: string[];

beforeEach(() => {
  locker = aLocker();
  work = new Work();
  taken = [];
  locker.on('acquired', ({ keys }) => taken.push(keys.join()));
});

interface TenantRequest {
  readonly query: { readonly tenant?: string };
}

const requestOf = (context: ExecutionContext): TenantRequest =>
  context.switchToHttp().getRequest<TenantRequest>();

@Injectable()
class Tenants {
  async of(request: TenantRequest): Promise<string> {
    return request.query.tenant ?? 'nobody';
  }
}

@Injectable()
class TenantLock extends LockInterceptor {
  constructor(private readonly tenants: Tenants) {
    super();
  }

  protected override async getKey(context: ExecutionContext): Promise<string> {
    return `tenant:${await this.tenants.of(requestOf(context))}`;
  }

  protected override getOptions(): UseLockOptions {
    return { wait: 0 };
  }

  protected override onRejected(_context: ExecutionContext, error: LockNotAcquiredError): unknown {
    throw new GoneException(error.key);
  }
}

class Bare extends LockInterceptor {
  protected override getKey(): string {
    return 'k';
  }
}

const lockNow = (): unknown => ({ keys: currentLock()?.keys, label: currentLock()?.label });

@Controller('orders')
class Orders {
  @UseInterceptors(TenantLock)
  @Get('tenant')
  async tenant(@Query('tenant') tenant: string): Promise<unknown> {
    await work.run(tenant);
    return lockNow();
  }

  @UseInterceptors(new Bare())
  @Get('instance')
  async instance(): Promise<unknown> {
    work.begun.push('ran');
    return 'ran';
  }
}

const boot = async (): Promise<string> => {
  const { url } = await serve({
    imports: [LockModule.forRoot({ locker, shutdownTimeout: 0 })],
    controllers: [Orders],
    providers: [Tenants],
  });
  return url;
};

const get = async (url: string): Promise<unknown> => {
  const { status, text } = await call('GET', url);
  expect(status).toBe(200);
  return JSON.parse(text);
};

describe('an interceptor that is derived', () => {
  test('a derived interceptor has its own key, options and answer to a busy lock', async () => {
    const url = await boot();
    const first = get(`${url}/orders/tenant?tenant=t`);
    await until(() => work.begun.length === 1);
    expect(taken).toEqual(['tenant:t']);
    await expect(call('GET', `${url}/orders/tenant?tenant=t`)).resolves.toMatchObject({
      status: 410,
      text: expect.stringContaining('tenant:t') as string,
    });
    work.end('t');
    await expect(first).resolves.toMatchObject({ keys: ['tenant:t'] });
  });

  test('a derived interceptor works for all handlers of an application', async () => {
    @Controller('any')
    class Any {
      @Get()
      async get(): Promise<unknown> {
        return lockNow();
      }
    }
    const { url } = await serve({
      imports: [LockModule.forRoot({ locker })],
      controllers: [Any],
      providers: [Tenants, { provide: APP_INTERCEPTOR, useClass: TenantLock }],
    });
    await expect(get(`${url}/any?tenant=t`)).resolves.toMatchObject({ keys: ['tenant:t'] });
    await locker.withLock('tenant:t', async () => {
      await expect(call('GET', `${url}/any?tenant=t`)).resolves.toMatchObject({ status: 410 });
    });
  });

  test('a derived interceptor given as an instance has no locker, and its handler does not run', async () => {
    const url = await boot();
    await expect(call('GET', `${url}/orders/instance`)).resolves.toMatchObject({ status: 500 });
    expect(work.begun).toEqual([]);
    const context = { getClass: () => Bare } as never;
    const intercepted = new Bare().intercept(context, { handle: () => EMPTY });
    const error = await new Promise((resolve) => intercepted.subscribe({ error: resolve }));
    expect(error).toMatchObject({ code: 'LOCK_MISSING', message: /LockModule\.forRoot\(\)/ });
  });
});
