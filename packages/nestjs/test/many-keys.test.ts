import type { Locker } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Get, Injectable, Param, type ExecutionContext } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, aMoment, compile, garbageCollector, serve } from './kit/index.ts';

let locker: Locker;
let taken: number;

beforeEach(() => {
  taken = 0;
  locker = aLocker();
  locker.on('acquired', () => (taken += 1));
});

/** What each of so many keys leaves in memory, in bytes, once it has been warmed up by as many others. */
async function leftBy(keys: number, use: (id: string) => Promise<unknown>): Promise<number> {
  const collect = garbageCollector();
  const round = async (from: number): Promise<number> => {
    for (let id = from; id < from + keys; id += 1) await use(`${id}`);
    // Nothing is on its way any more.
    await aMoment();
    return collect();
  };
  const before = await round(0);
  const after = await round(keys);
  return (after - before) / keys;
}

@Injectable()
class Orders {
  @WithLock((id: string) => `order:${id}`)
  async pay(id: string): Promise<string> {
    return id;
  }
}

const keyOf = (context: ExecutionContext): string =>
  `order:${context.switchToHttp().getRequest<{ params: { id: string } }>().params.id}`;

@Controller('orders')
class OrderController {
  @UseLock(keyOf)
  @WithLock((id: string) => `order:${id}`)
  @Get(':id')
  async ship(@Param('id') id: string): Promise<string> {
    return id;
  }
}

describe('what is left of many keys', () => {
  test('of a method, ten thousand times, is nothing', async () => {
    const orders = (await compile(locker, { providers: [Orders] })).get(Orders);
    // A map entry alone would be about 100.
    await expect(leftBy(10_000, (id) => orders.pay(id))).resolves.toBeLessThan(50);
    expect(taken).toBe(20_000);
  });

  test('of requests is nothing', async () => {
    const { app } = await serve(
      { imports: [LockModule.forRoot({ locker })], controllers: [OrderController] },
      'fastify',
    );
    const fastify = app as unknown as NestFastifyApplication;
    const left = await leftBy(2_000, (id) => fastify.inject(`/orders/${id}`));
    // A request that is kept is about 10 000.
    expect(left).toBeLessThan(1_000);
    expect(taken).toBe(4_000);
  });
});
