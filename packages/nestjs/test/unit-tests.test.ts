// Services with locks in unit tests: without a module, and with mocks.
import type { Locker } from '@holdfast/core';
import { currentLock, provideLocker, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Get, Injectable, Res } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, test } from 'vitest';
import { aLocker, atEnd, call, isFree, LogBook } from './kit/index.ts';

@Injectable()
class OrderService {
  constructor(private readonly bank: { charge(): Promise<string> }) {}

  @WithLock((id: string) => `order:${id}`, { wait: 0 })
  async pay(_id: string): Promise<string> {
    return `${await this.bank.charge()} under ${currentLock()?.key}`;
  }

  @WithLock('report', { name: 'reports', onLocked: 'skip' })
  async report(): Promise<string | undefined> {
    return currentLock()?.key;
  }
}

const bank = { charge: async () => 'charged' };

describe('provideLocker', () => {
  test('provideLocker lets a service that a test made run under its locks', async () => {
    const service = provideLocker(new OrderService(bank));
    await expect(service.pay('1')).resolves.toBe('charged under order:1');
    await expect(service.report()).resolves.toBe('report');
  });

  test('provideLocker takes a locker, of which the test can hold a lock', async () => {
    const locker = aLocker();
    const service = provideLocker(new OrderService(bank), locker);
    await locker.withLock(['order:1', 'report'], async () => {
      await expect(service.pay('1')).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
      await expect(service.report()).resolves.toBeUndefined();
    });
    await expect(service.pay('1')).resolves.toBe('charged under order:1');
  });

  test('refuses an instance that needs none', () => {
    expect(() => provideLocker(new Map())).toThrow(/Map has no method with @WithLock/);
  });
});

test('a service without a locker says how to give it one', async () => {
  await expect(new OrderService(bank).pay('1')).rejects.toMatchObject({
    code: 'LOCK_MISSING',
    message: expect.stringMatching(/OrderService\.pay .*provideLocker\(\)/) as string,
  });
});

@Controller('orders')
class OrderController {
  @WithLock('own', { wait: 0 })
  @Get('own')
  async own(@Res() response: { send(body: string): void }): Promise<void> {
    response.send(`under ${currentLock()?.key}`);
  }

  @UseLock('k')
  @Get('ship')
  async ship(): Promise<string> {
    return 'shipped';
  }
}

describe('with mocks', () => {
  test('an automatic mock of the locker is named where it is called', async () => {
    const mocked = await Test.createTestingModule({ providers: [OrderService], controllers: [] })
      .useMocker((token) => (token === Object ? bank : {}))
      .compile();
    const error: unknown = await mocked
      .get(OrderService)
      .pay('1')
      .catch((reason) => reason);
    expect(error).toMatchObject({ code: 'LOCK_MISSING' });
    expect(String(error)).toMatch(/OrderService\.pay .*useMocker\(\).*LockModule\.forRoot\(\)/);
  });

  test('an automatic mock of the locker of @UseLock is named with the handler', async () => {
    const module = await Test.createTestingModule({ controllers: [OrderController] })
      .useMocker(() => ({}))
      .compile();
    const log = new LogBook();
    const app = module.createNestApplication({ logger: log });
    await app.listen(0, '127.0.0.1');
    atEnd(() => app.close());
    await expect(call('GET', `${await app.getUrl()}/orders/ship`)).resolves.toMatchObject({
      status: 500,
    });
    expect(log.errors.join()).toMatch(
      /@UseLock on OrderController\.ship .*useMocker\(\).*LockModule\.forRoot\(\)/,
    );
  });

  test.each<{ what: string; response: object }>([
    { what: 'a send()', response: {} },
    { what: 'some of a response', response: { writableEnded: false, once() {} } },
    { what: 'automatic functions', response: new Proxy({}, { get: () => () => undefined }) },
  ])('a response that is a mock with $what does not keep the lock', async ({ response }) => {
    const locker: Locker = aLocker();
    const controller = provideLocker(new OrderController(), locker);
    const sent: string[] = [];
    const send = (body: string) => sent.push(body);
    await controller.own(Object.assign(Object.create(response) as object, { send }) as never);
    expect(sent).toEqual(['under own']);
    await expect(isFree(locker, 'own')).resolves.toBe(true);
  });

  test('a missing module is told with the controller and the handler', async () => {
    @Controller()
    class Shop {
      @UseLock('k')
      @Get()
      buy(): void {}
    }
    const boot = Test.createTestingModule({ controllers: [Shop] }).compile();
    await expect(boot).rejects.toThrow(/@UseLock on Shop\.buy.*LockModule\.forRoot\(\)/s);
  });
});
