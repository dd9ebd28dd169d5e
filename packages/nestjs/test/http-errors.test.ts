import { LockNotAcquiredError, type Locker, type LockError } from '@holdfast/core';
import { LockModule, UseLock, WithLock, type LockHttpException } from '@holdfast/nestjs';
import {
  Catch,
  ConflictException,
  Controller,
  Get,
  HttpException,
  Injectable,
  NotFoundException,
  Param,
  ParseIntPipe,
  Post,
  UseFilters,
  type ArgumentsHost,
  type ExceptionFilter,
  type ExecutionContext,
} from '@nestjs/common';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { aLocker, call, isFree, serve, untilFree, type Served } from './kit/index.ts';

let locker: Locker;
/** What the filter got. */
let caught: unknown[];

beforeEach(() => {
  locker = aLocker();
  caught = [];
});

const thrown = new NotFoundException('no such order');

@Injectable()
class Orders {
  @WithLock((id: number) => `order:${id}`, { wait: 0 })
  async pay(_id: number): Promise<void> {}

  @WithLock('k')
  async fail(): Promise<never> {
    throw thrown;
  }
}

@Catch()
class Recorder implements ExceptionFilter {
  catch(exception: unknown, host: ArgumentsHost): void {
    caught.push(exception);
    const response = host.switchToHttp().getResponse();
    response.status(exception instanceof HttpException ? exception.getStatus() : 500);
    response.send('recorded');
  }
}

interface OrderRequest {
  readonly params: { readonly id: string };
}

@Controller('orders')
class OrderController {
  constructor(private readonly orders: Orders) {}

  @Post(':id/pay')
  async pay(@Param('id', ParseIntPipe) id: number): Promise<void> {
    return this.orders.pay(id);
  }

  @UseLock((context) => `order:${context.switchToHttp().getRequest<OrderRequest>().params.id}`, {
    wait: 0,
  })
  @Post(':id/refund')
  async refund(): Promise<void> {}

  @Get('fails')
  async fails(): Promise<unknown> {
    return this.orders.fail();
  }

  @Get('recorded')
  @UseFilters(Recorder)
  async recorded(): Promise<unknown> {
    return this.orders.fail();
  }

  @UseLock('k')
  @UseFilters(Recorder)
  @Get('recorded-request')
  async recordedRequest(): Promise<never> {
    throw thrown;
  }

  @UseFilters(Recorder)
  @Get('recorded-busy')
  async recordedBusy(): Promise<unknown> {
    return this.orders.pay(1);
  }
}

describe.each(['express', 'fastify'] as const)('on %s', (adapter) => {
  const boot = (options = {}): Promise<Served> =>
    serve(
      {
        imports: [LockModule.forRoot({ locker, ...options })],
        controllers: [OrderController],
        providers: [Orders],
      },
      adapter,
    );

  test('an exception of the method is answered as ever, and the lock is free', async () => {
    const { url } = await boot();
    await expect(call('GET', `${url}/orders/fails`)).resolves.toMatchObject({ status: 404 });
    await expect(isFree(locker, 'k')).resolves.toBe(true);
  });

  test.each(['recorded', 'recorded-request'])(
    'an exception of the method reaches the filter as the same object: %s',
    async (path) => {
      const { url } = await boot();
      await expect(call('GET', `${url}/orders/${path}`)).resolves.toMatchObject({ status: 404 });
      expect(caught).toHaveLength(1);
      expect(caught[0]).toBe(thrown);
      await untilFree(locker, 'k');
    },
  );

  test('a filter that catches all gets an exception that knows the lock and its key', async () => {
    const { url } = await boot();
    await locker.withLock('order:1', async () => {
      const answer = await call('GET', `${url}/orders/recorded-busy`);
      expect(answer.headers.get('retry-after')).toBe('1');
    });
    const [exception] = caught as [LockHttpException];
    expect(exception).toBeInstanceOf(HttpException);
    expect(exception).toBeInstanceOf(LockNotAcquiredError);
    expect(exception).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', key: 'order:1' });
  });

  test('the exceptionFactory maps errors of locks, and no others', async () => {
    const exceptionFactory = vi.fn<(error: LockError, context?: ExecutionContext) => unknown>(
      (error, context) => {
        if (error.key === 'order:2') return undefined;
        return new ConflictException(context?.getHandler().name);
      },
    );
    const { url } = await boot({ exceptionFactory });
    await locker.withLock(['order:1', 'order:2'], async () => {
      await expect(call('POST', `${url}/orders/1/pay`)).resolves.toMatchObject({
        status: 409,
        text: expect.stringContaining('"pay"') as string,
      });
      await expect(call('POST', `${url}/orders/1/refund`)).resolves.toMatchObject({
        status: 409,
        text: expect.stringContaining('"refund"') as string,
      });
      await expect(call('POST', `${url}/orders/2/pay`)).resolves.toMatchObject({ status: 423 });
    });
    expect(exceptionFactory.mock.calls.map(([error]) => error.code)).toEqual(
      Array(3).fill('LOCK_NOT_ACQUIRED'),
    );
    exceptionFactory.mockClear();
    await call('GET', `${url}/orders/fails`);
    expect(exceptionFactory).not.toHaveBeenCalled();
  });
});
