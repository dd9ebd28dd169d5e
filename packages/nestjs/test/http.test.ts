import { memoryStore, type Locker } from '@holdfast/core';
import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { faultyStore } from '@holdfast/testing';
import { Body, Controller, Get, Injectable, Param, ParseIntPipe, Post, Sse } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
// Not as a type: what a method is declared to return can be seen then.
import { Observable, of } from 'rxjs';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, call, serve, until, Work, type Served } from './kit/index.ts';

let locker: Locker;
let work: Work;

beforeEach(() => {
  locker = aLocker();
  work = new Work();
});

@Injectable()
class Orders {
  @WithLock((id: number) => `order:${id}`, { wait: 0 })
  async pay(id: number): Promise<unknown> {
    await work.run(`pay:${id}`);
    return { id, type: typeof id };
  }
}

interface OrderRequest {
  readonly params: { readonly id: string };
}

@Controller('orders')
class OrderController {
  constructor(private readonly orders: Orders) {}

  @Post(':id/pay')
  async pay(@Param('id', ParseIntPipe) id: number): Promise<unknown> {
    return this.orders.pay(id);
  }

  @Post(':id/ship')
  @WithLock((id: number) => `order:${id}`, { wait: 0 })
  async ship(@Param('id', ParseIntPipe) id: number, @Body() body: unknown): Promise<unknown> {
    await work.run(`ship:${id}`);
    return { id, type: typeof id, key: currentLock()?.key, body };
  }

  @UseLock((context) => `order:${context.switchToHttp().getRequest<OrderRequest>().params.id}`, {
    wait: 0,
  })
  @Post(':id/refund')
  async refund(@Param('id') id: string): Promise<unknown> {
    await work.run(`refund:${id}`);
    return { id, key: currentLock()?.key };
  }

  @UseLock('k', { onLocked: 'skip' })
  @Get('skipped')
  skipped(): string {
    return 'ran';
  }

  @UseLock('k', { onLocked: () => ({ instead: true }) })
  @Get('instead')
  instead(): string {
    return 'ran';
  }

  @WithLock('k', { onLocked: 'skip' })
  @Get('skipped-method')
  async skippedMethod(): Promise<string | undefined> {
    return 'ran';
  }

  @WithLock('k', { onLocked: 'skip' })
  @Get('skipped-observable')
  skippedObservable(): Observable<string> {
    return of('ran');
  }

  @WithLock('k', { onLocked: 'skip' })
  @Sse('skipped-events')
  skippedEvents(): Observable<{ data: string }> {
    return of({ data: 'ran' });
  }
}

const declared = {
  controllers: [OrderController],
  providers: [Orders],
} as const;

describe.each(['express', 'fastify'] as const)('on %s', (adapter) => {
  const boot = (): Promise<Served> =>
    serve({ ...declared, imports: [LockModule.forRoot({ locker })] } as never, adapter);

  test.each(['pay', 'ship', 'refund'])(
    'a busy lock is a 423 with Retry-After: %s',
    async (action) => {
      const { url } = await boot();
      const first = call('POST', `${url}/orders/1/${action}`);
      await until(() => work.begun.length === 1);
      const busy = await call('POST', `${url}/orders/1/${action}`);
      expect(busy.status).toBe(423);
      expect(busy.headers.get('retry-after')).toBe('1');
      expect(busy.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(JSON.parse(busy.text)).toMatchObject({ status: 423, code: 'LOCK_NOT_ACQUIRED' });
      expect(busy.text).not.toContain('order:1');
      expect(work.begun).toEqual([`${action}:1`]);
      work.end(`${action}:1`);
      await expect(first).resolves.toMatchObject({ status: 201 });
      // The client that had its answer finds the lock free.
      await expect(call('POST', `${url}/orders/1/${action}`)).resolves.toMatchObject({
        status: 201,
      });
    },
  );

  test('other keys are served meanwhile', async () => {
    const { url } = await boot();
    const first = call('POST', `${url}/orders/1/pay`);
    await until(() => work.begun.length === 1);
    work.end('pay:2');
    await expect(call('POST', `${url}/orders/2/pay`)).resolves.toMatchObject({ status: 201 });
    work.end('pay:1');
    await first;
  });

  test('a method has its arguments after the pipes, an interceptor the request', async () => {
    const { url } = await boot();
    for (const action of ['pay', 'ship', 'refund']) work.end(`${action}:7`);
    const answers = await Promise.all(
      ['pay', 'ship', 'refund'].map((action) => call('POST', `${url}/orders/7/${action}`)),
    );
    // One of them may have found the lock of another busy.
    for (const action of ['pay', 'ship', 'refund']) {
      answers.push(await call('POST', `${url}/orders/7/${action}`));
    }
    const bodies = answers.slice(3).map(({ text }) => JSON.parse(text) as object);
    expect(bodies[0]).toMatchObject({ id: 7, type: 'number' });
    expect(bodies[1]).toMatchObject({ id: 7, type: 'number', key: 'order:7' });
    expect(bodies[2]).toMatchObject({ id: '7', key: 'order:7' });
  });

  test('a busy lock can be skipped, or answered', async () => {
    const { url } = await boot();
    await locker.withLock('k', async () => {
      await expect(call('GET', `${url}/orders/skipped`)).resolves.toMatchObject({
        status: 200,
        text: '',
      });
      await expect(call('GET', `${url}/orders/skipped-method`)).resolves.toMatchObject({
        status: 200,
        text: '',
      });
      await expect(call('GET', `${url}/orders/instead`)).resolves.toMatchObject({
        status: 200,
        text: '{"instead":true}',
      });
      await expect(call('GET', `${url}/orders/skipped-observable`)).resolves.toMatchObject({
        status: 200,
        text: '',
      });
      const events = await call('GET', `${url}/orders/skipped-events`);
      expect(events.status).toBe(200);
      expect(events.text.trim()).toBe('');
    });
    await expect(call('GET', `${url}/orders/skipped`)).resolves.toMatchObject({ text: 'ran' });
  });

  test('a store that is away is a 503 with Retry-After', async () => {
    const store = faultyStore(memoryStore());
    locker = aLocker({ store });
    const { url } = await boot();
    store.fail({ verb: 'acquire', times: Infinity });
    for (const action of ['pay', 'ship', 'refund']) {
      const answer = await call('POST', `${url}/orders/1/${action}`);
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    store.heal();
    expect(work.begun).toEqual([]);
  });

  test('the module does not keep an application from having its own adapter', async () => {
    const { app } = await boot();
    expect(app.get(HttpAdapterHost).httpAdapter.getType()).toBe(adapter);
  });
});
