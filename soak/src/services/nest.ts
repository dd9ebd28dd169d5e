import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { createLocker } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { redisStore } from '@holdfast/redis';
import { Controller, Module, Post, type ExecutionContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import type { Service, ServiceOptions } from '../protocol.ts';
import { work } from '../work.ts';

const keyOf = (context: ExecutionContext): string =>
  `order:${context.switchToHttp().getRequest<{ params: { id: string } }>().params.id}`;

/** An interceptor, and under it a method with a lock of its own. */
export async function startNest({ redisPort, leaks }: ServiceOptions): Promise<Service> {
  const client = new Redis(redisPort, '127.0.0.1');
  const locker = createLocker({ store: redisStore(client), maxWaiters: 10 });

  @Controller()
  class Orders {
    @UseLock(keyOf, { wait: 100 })
    @Post('handler/:id')
    async handler(): Promise<object> {
      await work(leaks);
      return { ok: true };
    }

    @UseLock(keyOf, { wait: 100 })
    @Post('middleware/:id')
    async both(): Promise<object> {
      return this.method(String(Math.floor(Math.random() * 10)));
    }

    @WithLock((part: string) => `part:${part}`, { wait: 100 })
    async method(_part: string): Promise<object> {
      await work(leaks);
      return { ok: true };
    }
  }

  @Module({ imports: [LockModule.forRoot({ locker, shutdownTimeout: 0 })], controllers: [Orders] })
  class Soaked {}

  const app = await NestFactory.create(Soaked, { logger: false, forceCloseConnections: true });
  await app.listen(0, '127.0.0.1');
  return {
    port: (app.getHttpServer() as { address(): AddressInfo }).address().port,
    stop: async () => {
      await app.close();
      await locker.close();
      client.disconnect();
    },
  };
}
