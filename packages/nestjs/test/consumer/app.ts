// An application as its users write it. It boots, asks itself, and prints what it was answered.
import 'reflect-metadata';
import { createLocker, memoryStore, type Locker } from '@holdfast/core';
import {
  currentLock,
  getLockerToken,
  LockInterceptor,
  LockModule,
  UseLock,
  WithLock,
} from '@holdfast/nestjs';
import {
  Controller,
  Get,
  Injectable,
  Module,
  Param,
  ParseIntPipe,
  UseInterceptors,
  type ExecutionContext,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { from, lastValueFrom, toArray, type Observable } from 'rxjs';

interface OrderRequest {
  readonly params: { readonly id: string };
}

@Injectable()
class Orders {
  @WithLock((id: number) => `order:${id}`, { wait: 0 })
  async pay(id: number): Promise<string> {
    return `${id} under ${currentLock()?.key}`;
  }

  @WithLock('values')
  values(): Observable<string> {
    return from([`${currentLock()?.key}`]);
  }
}

@Injectable()
class RouteLock extends LockInterceptor {
  protected override getKey(context: ExecutionContext): string {
    return context.getHandler().name;
  }
}

@Controller()
class OrderController {
  constructor(private readonly orders: Orders) {}

  @Get('pay/:id')
  async pay(@Param('id', ParseIntPipe) id: number): Promise<string> {
    return this.orders.pay(id);
  }

  @UseLock((context) => `order:${context.switchToHttp().getRequest<OrderRequest>().params.id}`, {
    wait: 0,
  })
  @Get('ship/:id')
  async ship(@Param('id') id: string): Promise<string> {
    return `${id} under ${currentLock()?.key}`;
  }

  @UseInterceptors(RouteLock)
  @Get('route')
  async route(): Promise<string> {
    return `under ${currentLock()?.key}`;
  }

  @Get('values')
  async values(): Promise<string[]> {
    return lastValueFrom(this.orders.values().pipe(toArray()));
  }
}

@Module({
  imports: [
    LockModule.forRootAsync({
      inject: [],
      useFactory: () => ({ locker: createLocker({ store: memoryStore() }) }),
    }),
  ],
  controllers: [OrderController],
  providers: [Orders],
})
class AppModule {}

@Module({ providers: [Orders] })
class ForgetfulModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(AppModule, { logger: false });
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const get = async (path: string): Promise<string> => {
    const response = await fetch(`${url}/${path}`, { headers: { connection: 'close' } });
    const retryAfter = response.headers.get('retry-after');
    const text = response.status === 200 ? `: ${await response.text()}` : '';
    return `${response.status}${text}${retryAfter === null ? '' : `, retry after ${retryAfter}`}`;
  };
  const free = [await get('pay/1'), await get('ship/1'), await get('route'), await get('values')];
  const locker = app.get<Locker>(getLockerToken());
  const busy = await locker.withLock('order:1', () =>
    Promise.all([get('pay/1'), get('ship/1'), get('pay/2')]),
  );
  await app.close();
  const forgotten = await NestFactory.createApplicationContext(ForgetfulModule, {
    logger: false,
    abortOnError: false,
  }).then(
    () => 'booted',
    (error: Error) => /LockModule\.forRoot\(\)/.exec(error.message)?.[0],
  );
  console.log(JSON.stringify({ free, busy, forgotten }));
}

void main();
