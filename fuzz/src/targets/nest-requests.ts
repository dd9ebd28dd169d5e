import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { createLocker, type Key } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, HttpCode, Module, Post, type ExecutionContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Target, TargetKind } from '../target.ts';
import { HttpTarget } from './http-target.ts';

interface Asked {
  readonly params: { readonly id: string };
  readonly body: { readonly keys: Key } | undefined;
}

const askedBy = (context: ExecutionContext): Asked => context.switchToHttp().getRequest<Asked>();

@Controller()
class Orders {
  @UseLock((context) => `order:${askedBy(context).params.id}`, { wait: 5 })
  @HttpCode(200)
  @Post('orders/:id/pay')
  pay(): object {
    return { ok: true };
  }

  @UseLock((context) => askedBy(context).body?.keys as Key, { wait: 0 })
  @Post('keys')
  async keys(): Promise<object> {
    return this.twice();
  }

  @WithLock('always', { wait: 1_000 })
  async twice(): Promise<object> {
    return { ok: true };
  }
}

async function start(): Promise<Target> {
  const locker = createLocker({ maxWaiters: 5 });

  @Module({
    imports: [LockModule.forRoot({ locker, shutdownTimeout: 0 })],
    controllers: [Orders],
  })
  class Fuzzed {}

  const app = await NestFactory.create(Fuzzed, { logger: false, forceCloseConnections: true });
  await app.listen(0, '127.0.0.1');
  return new HttpTarget({
    port: (app.getHttpServer() as { address(): AddressInfo }).address().port,
    locker,
    stop: async () => {
      await app.close();
      await locker.close();
    },
  });
}

export const nestRequests: TargetKind = { name: 'nest-requests', share: 5, start };
