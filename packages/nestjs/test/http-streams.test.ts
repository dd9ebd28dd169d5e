import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import type { Locker } from '@holdfast/core';
import {
  Controller,
  Get,
  Injectable,
  Res,
  Sse,
  StreamableFile,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type MessageEvent,
  type NestInterceptor,
} from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { Observable, Subject, timeout } from 'rxjs';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  aLocker,
  aMoment,
  call,
  connect,
  gate,
  isFree,
  onNest,
  serve,
  until,
  untilFree,
  Work,
  type Gate,
} from './kit/index.ts';

const TTL = 400;

let locker: Locker;
let work: Work;
/** What the handlers send. */
let source: PassThrough;
let values: Subject<MessageEvent>;
let slow: Gate;
let log: string[];
let signal: AbortSignal | undefined;

beforeEach(() => {
  locker = aLocker({ ttl: TTL });
  work = new Work();
  source = new PassThrough();
  values = new Subject();
  slow = gate();
  log = [];
  signal = undefined;
});

async function* rows(): AsyncGenerator<string> {
  try {
    log.push('opened');
    yield 'a';
    await slow.opened;
    yield 'b';
  } finally {
    log.push('closed');
  }
}

const raw = (response: any): ServerResponse => response.raw ?? response;

@Injectable()
class Impatient implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(timeout({ each: 50 }));
  }
}

/** Each handler with the lock of a method, and with that of an interceptor. */
@Controller('method')
class MethodLocks {
  @Get('file')
  @WithLock('k', { wait: 0 })
  async file(): Promise<StreamableFile> {
    return new StreamableFile(source);
  }

  @Get('rows')
  @WithLock('k', { wait: 0 })
  async *rows(): AsyncGenerator<string> {
    yield* rows();
  }

  @Sse('events')
  @WithLock('k', { wait: 0 })
  events(): Observable<MessageEvent> {
    return values;
  }

  @Sse('late-events')
  @WithLock('k', { wait: 0 })
  async lateEvents(): Promise<Observable<MessageEvent>> {
    signal = currentLock()?.signal;
    await work.run('setup');
    return values;
  }

  @Get('own')
  @WithLock('k', { wait: 0 })
  async own(@Res() response: unknown): Promise<void> {
    source.pipe(raw(response));
  }

  @Get('slow')
  @WithLock('k', { wait: 0 })
  async slow(): Promise<string> {
    signal = currentLock()?.signal;
    return work.run('slow');
  }

  @Get('impatient')
  @UseInterceptors(Impatient)
  @WithLock('k', { wait: 0 })
  async impatient(): Promise<string> {
    return work.run('impatient');
  }
}

@Controller('request')
class RequestLocks {
  @Get('file')
  @UseLock('k', { wait: 0 })
  async file(): Promise<StreamableFile> {
    return new StreamableFile(source);
  }

  @Get('rows')
  @UseLock('k', { wait: 0 })
  rows(): AsyncGenerator<string> {
    return rows();
  }

  @Sse('events')
  @UseLock('k', { wait: 0 })
  events(): Observable<MessageEvent> {
    return values;
  }

  @UseLock('k', { wait: 0 })
  @Sse('late-events')
  async lateEvents(): Promise<Observable<MessageEvent>> {
    signal = currentLock()?.signal;
    await work.run('setup');
    return values;
  }

  @Get('own')
  @UseLock('k', { wait: 0 })
  own(@Res() response: unknown): void {
    source.pipe(raw(response));
  }

  @Get('slow')
  @UseLock('k', { wait: 0 })
  async slow(): Promise<string> {
    signal = currentLock()?.signal;
    return work.run('slow');
  }

  @Get('impatient')
  @UseInterceptors(Impatient)
  @UseLock('k', { wait: 0 })
  async impatient(): Promise<string> {
    return work.run('impatient');
  }
}

const cases = (['express', 'fastify'] as const).flatMap((adapter) =>
  (['method', 'request'] as const).map((path) => ({ adapter, path })),
);

async function bootOn({ adapter, path }: (typeof cases)[number]): Promise<string> {
  const { url } = await serve(
    {
      imports: [LockModule.forRoot({ locker, shutdownTimeout: 0 })],
      controllers: [MethodLocks, RequestLocks],
    },
    adapter,
  );
  return `${url}/${path}`;
}

async function busy(url: string): Promise<boolean> {
  work.end('slow');
  return (await call('GET', `${url}/slow`)).status === 423;
}

describe.each(cases)('on $adapter, with the lock of a $path,', ({ adapter, path }) => {
  const boot = (): Promise<string> => bootOn({ adapter, path });

  test('a file is held until it is sent', async () => {
    const url = await boot();
    const sent = call('GET', `${url}/file`);
    await until(async () => !(await isFree(locker, 'k')));
    source.write('a');
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(busy(url)).resolves.toBe(true);
    source.end('b');
    await expect(sent).resolves.toMatchObject({ status: 200, text: 'ab' });
    await untilFree(locker, 'k');
  });

  test('a file is let go when the client goes away', async () => {
    const url = await boot();
    const client = connect('GET', `${url}/file`);
    source.write('a');
    await once(await client.response, 'data');
    await expect(busy(url)).resolves.toBe(true);
    client.leave();
    await untilFree(locker, 'k');
  });

  test('events are held until they are complete', async () => {
    const url = await boot();
    const sent = call('GET', `${url}/events`);
    await until(() => values.observed);
    values.next({ data: 'a' });
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(busy(url)).resolves.toBe(true);
    values.complete();
    expect((await sent).text).toContain('data: a');
    await untilFree(locker, 'k');
  });

  test('events are let go when the client goes away', async () => {
    const url = await boot();
    const client = connect('GET', `${url}/events`);
    await until(() => values.observed);
    client.leave();
    await until(() => !values.observed);
    await untilFree(locker, 'k');
  });

  test('a client that goes away while its events are set up does not free the lock', async () => {
    const url = await boot();
    const client = connect('GET', `${url}/late-events`);
    await until(() => work.begun.length === 1);
    client.leave();
    if (path === 'request') await until(() => signal?.aborted === true);
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(busy(url)).resolves.toBe(true);
    work.end('setup');
    await untilFree(locker, 'k');
  });

  test('a response that the handler sends itself is held until it is sent', async () => {
    const url = await boot();
    const sent = call('GET', `${url}/own`);
    await until(async () => !(await isFree(locker, 'k')));
    source.write('a');
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(busy(url)).resolves.toBe(true);
    source.end('b');
    await expect(sent).resolves.toMatchObject({ status: 200, text: 'ab' });
    await untilFree(locker, 'k');
  });

  test('a response that nobody ends when the client is gone is freed by the ttl', async () => {
    const url = await boot();
    const client = connect('GET', `${url}/own`);
    source.write('a');
    await once(await client.response, 'data');
    await expect(busy(url)).resolves.toBe(true);
    client.leave();
    await untilFree(locker, 'k');
  });

  test('a client that goes away does not free the lock while its handler runs', async () => {
    const url = await boot();
    const client = connect('GET', `${url}/slow`);
    await until(() => work.begun.length === 1);
    client.leave();
    if (path === 'request') await until(() => signal?.aborted === true);
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(isFree(locker, 'k')).resolves.toBe(false);
    const code = path === 'request' ? 'LOCK_ABORTED' : undefined;
    expect((signal?.reason as { code?: string } | undefined)?.code).toBe(code);
    work.end('slow');
    await untilFree(locker, 'k');
    expect(work.ended).toEqual(['slow']);
  });

  test('an interceptor that gives the handler up does not free the lock while it runs', async () => {
    const url = await boot();
    const answer = await call('GET', `${url}/impatient`);
    expect(answer.status).toBe(500);
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(busy(url)).resolves.toBe(true);
    work.end('impatient');
    await untilFree(locker, 'k');
  });
});

/** Which of the two there is depends on the version of Nest. */
const sending = onNest >= 12 ? cases : [];
const notSending = onNest >= 12 ? [] : cases;

describe.each(sending)('an async iterable, on $adapter, with the lock of a $path,', (on) => {
  test('is held until it is sent', async () => {
    const url = await bootOn(on);
    const sent = call('GET', `${url}/rows`);
    await until(() => log.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(busy(url)).resolves.toBe(true);
    slow.open();
    await expect(sent).resolves.toMatchObject({ status: 200, text: 'ab' });
    await untilFree(locker, 'k');
    expect(log).toEqual(['opened', 'closed']);
  });

  test('is closed and let go when the client goes away', async () => {
    const url = await bootOn(on);
    const client = connect('GET', `${url}/rows`);
    await once(await client.response, 'data');
    await expect(busy(url)).resolves.toBe(true);
    client.leave();
    await aMoment();
    slow.open();
    await untilFree(locker, 'k');
    expect(log).toEqual(['opened', 'closed']);
  });
});

describe.each(notSending)('an async iterable, on $adapter, with the lock of a $path,', (on) => {
  test('is not sent by this Nest, and holds nothing for longer than the ttl', async () => {
    const url = await bootOn(on);
    await expect(call('GET', `${url}/rows`)).resolves.toMatchObject({ status: 200, text: '{}' });
    await untilFree(locker, 'k');
    expect(log).toEqual([]);
  });
});
