import type { Locker } from '@holdfast/core';
import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import {
  Controller,
  Get,
  Injectable,
  Param,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { EMPTY, type Observable } from 'rxjs';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  aLocker,
  aMoment,
  call,
  connect,
  isFree,
  serve,
  until,
  untilFree,
  Work,
} from './kit/index.ts';

let locker: Locker;
let reports: Locker;
let work: Work;
/** Keys, in the order in which locks were taken. */
let taken: string[];

beforeEach(() => {
  locker = aLocker();
  reports = aLocker({ label: 'of reports' });
  work = new Work();
  taken = [];
  locker.on('acquired', ({ keys }) => taken.push(keys.join()));
});

interface OrderRequest {
  readonly params: { readonly id: string };
  readonly query: { readonly tenant?: string };
}

const requestOf = (context: ExecutionContext): OrderRequest =>
  context.switchToHttp().getRequest<OrderRequest>();
const orderKey = (context: ExecutionContext): string => `order:${requestOf(context).params.id}`;

@Injectable()
class Replaces implements NestInterceptor {
  intercept(_context: ExecutionContext, _next: CallHandler): Observable<unknown> {
    return EMPTY;
  }
}

const lockNow = (): unknown => ({ keys: currentLock()?.keys, label: currentLock()?.label });

@Controller('orders')
class Orders {
  @UseLock(orderKey)
  @WithLock((id: string) => `order:${id}`)
  @Get(':id/both')
  async both(@Param('id') id: string): Promise<unknown> {
    return { id, now: lockNow(), state: currentLock()?.state };
  }

  @Get(':id/both-below')
  @WithLock((id: string) => `order:${id}`)
  @UseLock(orderKey)
  async bothBelow(@Param('id') _id: string): Promise<unknown> {
    return lockNow();
  }

  @UseLock((context) => [orderKey(context), 'all'])
  @WithLock((id: string) => `order:${id}`)
  @Get(':id/covered')
  async covered(@Param('id') _id: string): Promise<unknown> {
    return lockNow();
  }

  @UseLock(orderKey)
  @WithLock('other')
  @Get(':id/two')
  async two(@Param('id') _id: string): Promise<unknown> {
    return lockNow();
  }

  @UseLock(orderKey)
  @Get(':id/calls')
  async calls(@Param('id') id: string): Promise<unknown> {
    return this.both(id).catch((error: { code: string }) => error.code);
  }

  @UseLock('upper')
  @UseLock('lower')
  @Get('stacked')
  async stacked(): Promise<unknown> {
    return lockNow();
  }

  @UseLock(async (context) => requestOf(context).query.tenant ?? null)
  @Get('perhaps')
  async perhaps(): Promise<unknown> {
    return lockNow();
  }

  @UseLock(() => undefined as never)
  @Get('bad-key')
  async badKey(): Promise<unknown> {
    work.begun.push('ran');
    return 'ran';
  }

  @UseLock('k', { name: 'reports' })
  @Get('named')
  async named(): Promise<unknown> {
    return lockNow();
  }

  @UseLock('slow')
  @Get('slow')
  async slow(): Promise<unknown> {
    return work.run('slow');
  }

  @UseLock('kept', { abortOnDisconnect: false })
  @Get('kept')
  async kept(): Promise<unknown> {
    const signal = currentLock()?.signal;
    await work.run('kept');
    return work.begun.push(`aborted: ${signal?.aborted}`);
  }

  @UseInterceptors(Replaces)
  @UseLock('replaced')
  @Get('replaced')
  async replaced(): Promise<unknown> {
    return 'ran';
  }
}

const boot = async (): Promise<string> => {
  const { url } = await serve({
    imports: [
      LockModule.forRoot({ locker, shutdownTimeout: 0 }),
      LockModule.forRoot({ locker: reports, name: 'reports', shutdownTimeout: 0 }),
    ],
    controllers: [Orders],
  });
  return url;
};

const get = async (url: string): Promise<unknown> => {
  const { status, text } = await call('GET', url);
  expect(status).toBe(200);
  return JSON.parse(text);
};

describe('a handler with a lock from the request', () => {
  test.each(['both', 'both-below'])(
    '@UseLock and @WithLock with one key on one handler take it once: %s',
    async (path) => {
      const url = await boot();
      await get(`${url}/orders/1/${path}`);
      expect(taken).toEqual(['order:1']);
      await untilFree(locker, 'order:1');
    },
  );

  test('@WithLock for one of the keys of @UseLock takes nothing more', async () => {
    const url = await boot();
    await expect(get(`${url}/orders/1/covered`)).resolves.toMatchObject({ keys: ['order:1'] });
    expect(taken).toEqual(['order:1,all']);
  });

  test('@UseLock and @WithLock with different keys take both locks', async () => {
    const url = await boot();
    await get(`${url}/orders/1/two`);
    expect(taken).toEqual(['order:1', 'other']);
  });

  test('the lowest of several @UseLock is the outermost, as Nest orders interceptors', async () => {
    const url = await boot();
    await expect(get(`${url}/orders/stacked`)).resolves.toMatchObject({ keys: ['upper'] });
    expect(taken).toEqual(['lower', 'upper']);
  });

  test('a method that a handler calls does not pass for the handler', async () => {
    const url = await boot();
    await expect(call('GET', `${url}/orders/1/calls`)).resolves.toMatchObject({
      text: 'LOCK_REENTRY',
    });
  });

  test('a handler whose key is null runs without a lock', async () => {
    const url = await boot();
    await expect(get(`${url}/orders/perhaps?tenant=t`)).resolves.toMatchObject({ keys: ['t'] });
    await expect(get(`${url}/orders/perhaps`)).resolves.toEqual({});
    expect(taken).toEqual(['t']);
  });

  test('a handler whose key is undefined does not run', async () => {
    const url = await boot();
    await expect(call('GET', `${url}/orders/bad-key`)).resolves.toMatchObject({ status: 400 });
    expect(work.begun).toEqual([]);
  });

  test('@UseLock takes the name of a locker', async () => {
    const url = await boot();
    await expect(get(`${url}/orders/named`)).resolves.toMatchObject({ label: 'of reports' });
  });

  test('a lock is released if the result of its handler is replaced', async () => {
    const url = await boot();
    await call('GET', `${url}/orders/replaced`);
    await untilFree(locker, 'replaced');
  });
});

describe('a client that goes away', () => {
  test('a client that leaves while it waits gets no lock, and its handler never runs', async () => {
    const url = await boot();
    const waiting: string[] = [];
    locker.on('waiting', ({ key }) => waiting.push(key));
    const other = await locker.lock('slow');
    const client = connect('GET', `${url}/orders/slow`);
    await until(() => waiting.length === 1);
    client.leave();
    await until(async () => (await locker.inspect('slow'))?.waiters === 0);
    await other.release();
    await aMoment();
    expect(work.begun).toEqual([]);
    await expect(isFree(locker, 'slow')).resolves.toBe(true);
  });

  test('a client that leaves does not abort the signal where `abortOnDisconnect` is false', async () => {
    const url = await boot();
    const client = connect('GET', `${url}/orders/kept`);
    await until(() => work.begun.length === 1);
    client.leave();
    await aMoment();
    work.end('kept');
    await until(() => work.begun.length === 2);
    expect(work.begun[1]).toBe('aborted: false');
  });
});
