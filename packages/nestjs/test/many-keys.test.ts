import type { Locker } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Get, Injectable, Param, type ExecutionContext } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, compile, garbageCollector, serve } from './kit/index.ts';

let locker: Locker;
let taken: number;

beforeEach(() => {
  taken = 0;
  locker = aLocker();
  locker.on('acquired', () => (taken += 1));
});

/** Uses so many keys, and then as many others, of which at most so many bytes each may stay in memory. */
async function leavesAtMost(
  bytes: number,
  keys: number,
  use: (id: string) => Promise<unknown>,
): Promise<void> {
  const collect = garbageCollector();
  for (let id = 0; id < keys; id += 1) await use(`${id}`);
  const before = collect();
  for (let id = keys; id < 2 * keys; id += 1) await use(`${id}`);
  // What is on its way still goes.
  await expect
    .poll(() => (collect() - before) / keys, { timeout: 15_000, interval: 50 })
    .toBeLessThan(bytes);
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
  test(
    'five thousand calls of a method with different keys leave nothing in memory',
    { timeout: 180_000 },
    async () => {
      const orders = (await compile(locker, { providers: [Orders] })).get(Orders);
      // A map entry alone would be about 100.
      await leavesAtMost(50, 5_000, (id) => orders.pay(id));
      expect(taken).toBe(10_000);
    },
  );

  test(
    'a thousand requests with different keys leave nothing in memory',
    { timeout: 180_000 },
    async () => {
      const { app } = await serve(
        { imports: [LockModule.forRoot({ locker })], controllers: [OrderController] },
        'fastify',
      );
      const fastify = app as unknown as NestFastifyApplication;
      // A request that is kept is about 10 000.
      await leavesAtMost(1_000, 1_000, (id) => fastify.inject(`/orders/${id}`));
      expect(taken).toBe(2_000);
    },
  );
});
